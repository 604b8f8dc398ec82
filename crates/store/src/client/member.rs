//! One member of the cluster: its channel, and what its failures mean.

use super::config::{Config, Endpoint};
use crate::StoreError;
use std::{error::Error as _, time::Duration};
use tonic::{
    Code, ConnectError, Status,
    transport::{Certificate, Channel, ClientTlsConfig, Identity},
};

/// Time to set up a TCP connection, TLS not included. A member of a healthy cluster is near; one that is gone must not hold up fail-over.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// While something is asked or watched, a connection that is silent this long is asked for life. etcd cuts off clients that ask more often than
/// every 5 s, or at all while nothing is under way.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(7);
/// How long the answer may take before the connection is given up.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(4);

/// How a certificate begins (RFC 7468 section 5.1).
const PEM_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// A member and the channel to it. The channel connects when it is first used and again after it broke.
#[derive(Debug)]
pub(super) struct Member {
    pub endpoint: Endpoint,
    pub channel: Channel,
}

impl Member {
    /// Must be called within a tokio runtime.
    pub fn new(endpoint: Endpoint, config: &Config) -> Result<Member, StoreError> {
        let bad = |error: tonic::transport::Error| {
            let detail = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            StoreError::Config(format!("cannot use {endpoint} as the store's endpoint: {detail}"))
        };
        let mut builder = tonic::transport::Endpoint::from_shared(endpoint.uri(config.tls.is_some()))
            .map_err(bad)?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
        if endpoint.tls.unwrap_or(config.tls.is_some()) {
            builder = builder.tls_config(tls_config(&endpoint, config)?).map_err(bad)?;
        }
        Ok(Member { channel: builder.connect_lazy(), endpoint })
    }
}

fn tls_config(endpoint: &Endpoint, config: &Config) -> Result<ClientTlsConfig, StoreError> {
    let read = |path: &std::path::Path, what: &str| {
        std::fs::read(path)
            .map_err(|error| StoreError::Config(format!("cannot read the {what} {}: {error}", path.display())))
    };
    let tls = config.tls.clone().unwrap_or_default();
    let Some(ca) = &tls.ca else {
        return Err(StoreError::Config(format!(
            "{endpoint} needs the certificate of the authority that signed the store's: give the CA file by --cacert or TUPLENET_CACERT"
        )));
    };
    let authority = read(ca, "CA certificate")?;
    // The library takes a file without any for an authority that signed nothing.
    if !String::from_utf8_lossy(&authority).contains(PEM_CERTIFICATE) {
        return Err(StoreError::Config(format!(
            "there is no certificate in {}: give the authority's in PEM form, which begins with {PEM_CERTIFICATE}",
            ca.display()
        )));
    }
    let mut out = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority));
    out = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => {
            out.identity(Identity::from_pem(read(cert, "client certificate")?, read(key, "client key")?))
        }
        (None, None) => out,
        _ => {
            return Err(StoreError::Config(
                "a client certificate and its key must be given together: --cert and --key, or TUPLENET_CERT and TUPLENET_KEY".to_owned(),
            ));
        }
    };
    let domain = tls.domain.as_deref().unwrap_or(&endpoint.host);
    Ok(out.domain_name(domain.trim_start_matches('[').trim_end_matches(']')))
}

/// What a failed attempt says about the request.
#[derive(Debug)]
pub(super) enum Failure {
    /// The member did not get it: it may go to another, whatever it is.
    NotSent(String),
    /// The member may have done it.
    Unanswered(String),
    /// The token has ended; the member did nothing.
    Token(String),
    /// The member answered, and any other would answer the same.
    Answer(StoreError),
}

impl Failure {
    pub fn of(status: &Status) -> Failure {
        let message = status.message().to_owned();
        if let Some(reason) = connect_failure(status) {
            return Failure::NotSent(reason);
        }
        match status.code() {
            Code::Unauthenticated => Failure::Token(message),
            // "auth: revision in header is old" and "user name is empty" mean that the token or its absence is out of date.
            Code::InvalidArgument
                if message.contains("revision of auth store is old") || message.contains("user name is empty") =>
            {
                Failure::Token(message)
            }
            Code::ResourceExhausted if message.contains("too many requests") => Failure::NotSent(message),
            Code::Unavailable | Code::DeadlineExceeded => Failure::Unanswered(message),
            // tonic reports a connection that broke in the middle with a source, which an answer of the server never has.
            Code::Unknown | Code::Internal | Code::Cancelled if status.source().is_some() => {
                Failure::Unanswered(deepest(status))
            }
            Code::Cancelled | Code::Aborted => Failure::Unanswered(message),
            Code::OutOfRange if message.contains("compacted") => Failure::Answer(StoreError::Compacted { oldest: 0 }),
            Code::NotFound if message.contains("lease not found") => Failure::Answer(StoreError::NoLease(0)),
            Code::PermissionDenied => Failure::Answer(StoreError::Denied(message)),
            Code::InvalidArgument if message.contains("authentication failed") => {
                Failure::Answer(StoreError::Denied(message))
            }
            Code::OutOfRange | Code::ResourceExhausted
                if message.contains("message") || message.contains("larger than max") =>
            {
                Failure::Answer(StoreError::TooLarge(message))
            }
            Code::InvalidArgument if message.contains("too large") => Failure::Answer(StoreError::TooLarge(message)),
            Code::Unimplemented => {
                Failure::Answer(StoreError::Refused(format!("{message} (is it etcd 3.4 or later?)")))
            }
            _ => Failure::Answer(StoreError::Refused(message)),
        }
    }
}

type Cause<'a> = &'a (dyn std::error::Error + 'static);

fn chain(status: &Status) -> impl Iterator<Item = Cause<'_>> {
    fn next<'a>(cause: &Cause<'a>) -> Option<Cause<'a>> {
        let cause: Cause<'a> = *cause;
        cause.source()
    }
    std::iter::successors(status.source(), next)
}

/// Why no connection came about, if that is what happened.
fn connect_failure(status: &Status) -> Option<String> {
    chain(status).any(|error| error.is::<ConnectError>()).then(|| deepest(status))
}

/// The innermost cause, which is the one that says something ("Connection refused", not "transport error").
fn deepest(status: &Status) -> String {
    let io = chain(status).find_map(|error| error.downcast_ref::<std::io::Error>());
    match io.map(std::io::Error::kind) {
        Some(std::io::ErrorKind::ConnectionRefused) => "connection refused".to_owned(),
        Some(std::io::ErrorKind::ConnectionReset) => "connection reset".to_owned(),
        _ => chain(status).last().map_or_else(|| status.message().to_owned(), ToString::to_string),
    }
}
