//! FNV-1a, the one hash from which numbers and names are made that outlive a process: cookies, group ids, MAC addresses, names of tunnel ports.
//!
//! The same bytes give the same number on every machine and in every version: a switch, a database, or another host has it. Therefore no hash of a
//! library, which may become a better one. Source: draft-eastlake-fnv, "The FNV Non-Cryptographic Hash Algorithm".

/// 32 bits of bytes.
pub fn fnv32(bytes: impl IntoIterator<Item = u8>) -> u32 {
    bytes.into_iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// 64 bits of bytes.
pub fn fnv64(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_examples() {
        assert_eq!((fnv32([]), fnv64([])), (0x811c_9dc5, 0xcbf2_9ce4_8422_2325));
        assert_eq!((fnv32(*b"a"), fnv64(*b"a")), (0xe40c_292c, 0xaf63_dc4c_8601_ec8c));
        assert_eq!((fnv32(*b"foobar"), fnv64(*b"foobar")), (0xbf9c_f968, 0x8594_4171_f739_67e8));
    }
}
