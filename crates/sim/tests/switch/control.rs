//! The control socket of ovs-vswitchd: what `ovs-appctl` does, without a process for each question.
//!
//! JSON-RPC 1.0 (ovs-appctl(8), Open vSwitch's `unixctl.h`). Thousands of traces a second pass, because the next questions are
//! sent before the last is answered.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// Questions in flight: more than ovs-vswitchd takes in one round of its loop, and few enough for the socket's buffer.
const IN_FLIGHT: usize = 16;

/// A connection to the control socket.
pub struct Control {
    stream: UnixStream,
    received: Vec<u8>,
}

/// What the daemon answers: its text, or its complaint.
pub type Answer = Result<String, String>;

impl Control {
    pub fn connect(socket: &Path) -> Control {
        let stream = UnixStream::connect(socket).unwrap_or_else(|e| panic!("{}: {e}", socket.display()));
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time is set");
        Control { stream, received: Vec::new() }
    }

    /// One question that is answered, or the test is over.
    pub fn ask(&mut self, words: &[&str]) -> String {
        let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        let answer = self.ask_all(std::slice::from_ref(&words)).pop().expect("one question, one answer");
        answer.unwrap_or_else(|e| panic!("{words:?}: {e}"))
    }

    /// Many questions, each a command and its arguments; answers in their order.
    pub fn ask_all(&mut self, questions: &[Vec<String>]) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(questions.len());
        let mut sent = 0;
        while answers.len() < questions.len() {
            let until = questions.len().min(answers.len() + IN_FLIGHT);
            let mut bytes = Vec::new();
            for (id, words) in questions.iter().enumerate().take(until).skip(sent) {
                let question = serde_json::json!({"id": id, "method": words[0], "params": words[1..]});
                serde_json::to_writer(&mut bytes, &question).expect("JSON of strings");
            }
            sent = sent.max(until);
            self.stream.write_all(&bytes).expect("ovs-vswitchd listens");
            self.receive(&mut answers);
        }
        answers
    }

    /// Waits for some bytes, and takes the answers that are whole.
    fn receive(&mut self, answers: &mut Vec<Answer>) {
        let before = answers.len();
        while answers.len() == before {
            let mut chunk = vec![0; 64 * 1024];
            let got = self.stream.read(&mut chunk).expect("ovs-vswitchd answers");
            assert!(got > 0, "ovs-vswitchd closed its control socket: it died");
            self.received.extend_from_slice(&chunk[..got]);
            let mut values = serde_json::Deserializer::from_slice(&self.received).into_iter::<serde_json::Value>();
            while let Some(Ok(answer)) = values.next() {
                assert_eq!(answer["id"].as_u64(), Some(answers.len() as u64), "an answer out of order: {answer}");
                answers.push(match answer["error"].as_str() {
                    Some(error) => Err(error.trim().to_owned()),
                    None => Ok(answer["result"].as_str().unwrap_or_default().to_owned()),
                });
            }
            let done = values.byte_offset();
            self.received.drain(..done);
        }
    }
}
