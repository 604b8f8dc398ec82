//! The Internet checksum (RFC 1071), changed in place (RFC 1624), and SCTP's CRC32c (RFC 9260, appendix A).

/// The sum of 16-bit words, not folded; an odd last byte is padded with zero.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | pair.get(1).map_or(0, |b| u64::from(*b))).sum()
}

/// Folds a sum to 16 bits.
pub(crate) fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The checksum of a sum.
pub(crate) fn finish(sum: u64) -> u16 {
    !fold(sum)
}

/// The checksum after what it covers changed from `old` to `new`. A wrong one stays wrong, so that a switch never makes a
/// damaged packet look whole.
pub(crate) fn update(checksum: u16, old: u64, new: u64) -> u16 {
    // HC' = ~(~HC + ~m + m')
    !fold(u64::from(!checksum) + u64::from(!fold(old)) + u64::from(fold(new)))
}

/// CRC32c.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    let bit = |crc: u32| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(!0_u32, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| bit(crc)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071() {
        assert_eq!(fold(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7])), 0xddf2);
    }

    #[test]
    fn an_update_is_what_a_fresh_sum_gives() {
        let (old, new) = ([1, 2, 3, 4, 250, 6], [9, 2, 3, 255, 250, 7]);
        assert_eq!(update(finish(sum(&old)), sum(&old), sum(&new)), finish(sum(&new)));
    }

    #[test]
    fn the_check_value_of_crc32c() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}
