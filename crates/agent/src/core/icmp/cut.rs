//! Cutting an IPv4 packet into fragments, as a router does whose way on takes shorter ones (RFC 791, section 3.2, "Fragmentation").

use super::{
    super::wire::{IPV4, checksum, put, take},
    ETHERNET,
};

/// How many pieces a packet may become: a long one for the smallest MTU of IPv6 networks.
const MOST: usize = 64;
/// Don't fragment, and more fragments follow: bits above the fragment's offset.
const DONT: u16 = 0x4000;
const MORE: u16 = 0x2000;
/// Options of a header (RFC 791, section 3.1): their end, one that does nothing, and the bit of those that every fragment has.
const END: u8 = 0;
const NOTHING: u8 = 1;
const COPIED: u8 = 0x80;

/// The frames that carry the pieces of a frame's packet, of `mtu` bytes at most each, in order. `None`: it is no IPv4 packet, or one that must not or cannot be
/// cut.
pub fn cut(frame: &[u8], mtu: usize) -> Option<Vec<Vec<u8>>> {
    let packet = frame.get(ETHERNET..)?;
    let first = *packet.first()?;
    let header = usize::from(first & 0xf) * 4;
    let length = usize::from(u16::from_be_bytes(take(packet, 2)?));
    let place = u16::from_be_bytes(take(packet, 6)?);
    if take::<2>(frame, 12)? != IPV4 || first >> 4 != 4 || header < 20 || length <= header || place & DONT != 0 {
        return None;
    }
    let payload = packet.get(header..length)?;
    let room = mtu.checked_sub(header)? / 8 * 8;
    if room == 0 || payload.len().div_ceil(room) > MOST {
        return None;
    }
    let mut later = packet.get(..header)?.to_vec();
    keep_copied(later.get_mut(20..)?)?;
    let count = payload.len().div_ceil(room);
    let pieces = payload.chunks(room).enumerate().map(|(i, data)| {
        let mut piece = if i == 0 { packet.get(..header)?.to_vec() } else { later.clone() };
        let offset = (place & 0x1fff).checked_add(u16::try_from(i * room / 8).ok()?).filter(|at| *at < 0x2000)?;
        let more = if i + 1 < count { MORE } else { place & MORE };
        put(&mut piece, 2, u16::try_from(header + data.len()).ok()?);
        put(&mut piece, 6, offset | more);
        put(&mut piece, 10, 0);
        let sum = checksum(&piece);
        put(&mut piece, 10, sum);
        Some([frame.get(..ETHERNET)?, &piece, data].concat())
    });
    pieces.collect()
}

/// Of options only those stay that every fragment has; the others do nothing. `None`: they cannot be read.
fn keep_copied(mut options: &mut [u8]) -> Option<()> {
    loop {
        let length = match *options {
            [] | [END, ..] => return Some(()),
            [NOTHING, ..] => 1,
            [_, length, ..] if length >= 2 => usize::from(length),
            _ => return None,
        };
        let (option, rest) = options.split_at_mut_checked(length)?;
        if option.first()? & COPIED == 0 {
            option.fill(NOTHING);
        }
        options = rest;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(options: &[u8], place: u16, payload: &[u8]) -> Vec<u8> {
        let header = 20 + options.len();
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
        frame.extend([0x40 | (header / 4) as u8, 0]);
        frame.extend(u16::try_from(header + payload.len()).unwrap().to_be_bytes());
        frame.extend([0x12, 0x34]);
        frame.extend(place.to_be_bytes());
        frame.extend([64, 17, 0, 0, 10, 1, 0, 2, 10, 2, 0, 2]);
        frame.extend(options);
        let sum = checksum(&frame[14..]);
        put(&mut frame, 24, sum);
        frame.extend(payload);
        frame
    }

    /// What the one who puts pieces together gets: where each byte belongs.
    fn together(pieces: &[Vec<u8>]) -> (Vec<u8>, bool) {
        let (mut whole, mut more) = (Vec::new(), true);
        for piece in pieces {
            let header = usize::from(piece[14] & 0xf) * 4;
            let place = u16::from_be_bytes([piece[20], piece[21]]);
            assert_eq!(usize::from(place & 0x1fff) * 8, whole.len());
            assert_eq!(checksum(&piece[14..14 + header]), 0);
            assert_eq!(usize::from(u16::from_be_bytes([piece[16], piece[17]])) + 14, piece.len());
            whole.extend(&piece[14 + header..]);
            more = place & MORE != 0;
        }
        (whole, more)
    }

    #[test]
    fn some_packets_are_not_cut() {
        assert!(cut(&packet(&[], 0, &[1; 3000]), 1400).is_some());
        assert_eq!(cut(&packet(&[], DONT, &[1; 3000]), 1400), None);
        assert_eq!(cut(&packet(&[], 0, &[1; 3000]), 27), None);
        assert_eq!(cut(&packet(&[], 0x1fff, &[1; 3000]), 1400), None, "behind the end of any packet");
        assert_eq!(cut(&packet(&[], 0, &[1; 60_000]), 68), None, "too many pieces");
        let mut v6 = packet(&[], 0, &[1; 3000]);
        v6[12] = 0x86;
        assert_eq!(cut(&v6, 1400), None);
    }

    #[test]
    fn later_pieces_have_the_options_that_all_have() {
        // Record route (7) is the first piece's alone, loose source route (131) everyone's.
        let options = [7, 7, 4, 0, 0, 0, 0, 131, 3, 4, 1, 0];
        let pieces = cut(&packet(&options, 0, &[9; 100]), 80).unwrap();
        assert_eq!(pieces[0][34..46], options);
        assert_eq!(pieces[1][34..46], [1, 1, 1, 1, 1, 1, 1, 131, 3, 4, 1, 0]);
        assert_eq!(together(&pieces).0, [9; 100]);
    }

    proptest! {
        #[test]
        fn pieces_are_short_and_make_the_whole(
            payload in proptest::collection::vec(any::<u8>(), 1..3000), mtu in 60..1500_usize,
            padding in 0..20_usize, more in any::<bool>(),
        ) {
            let mut frame = packet(&[], if more { MORE } else { 0 }, &payload);
            frame.extend(vec![0; padding]);
            let Some(pieces) = cut(&frame, mtu) else {
                prop_assert!(payload.len() > MOST * ((mtu - 20) / 8 * 8));
                return Ok(());
            };
            prop_assert!(pieces.iter().all(|piece| piece.len() <= mtu + 14));
            prop_assert_eq!(together(&pieces), (payload, more));
        }

        #[test]
        fn any_bytes_are_cut_or_not(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), mtu in 0..200_usize) {
            bytes.splice(12.min(bytes.len())..14.min(bytes.len()), [8, 0]);
            let _ = cut(&bytes, mtu);
        }
    }
}
