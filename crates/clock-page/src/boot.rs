use std::fs;

/// A number of this boot of the computer: the first eight octets of the kernel's boot id; 0 when unreadable.
pub(crate) fn this_boot() -> u64 {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().and_then(|id| first_octets(&id)).unwrap_or(0)
}

/// The first sixteen hexadecimal digits of a UUID.
fn first_octets(id: &str) -> Option<u64> {
    let digits: String = id.trim().chars().filter(|digit| *digit != '-').take(16).collect();
    if digits.len() < 16 {
        return None;
    }
    u64::from_str_radix(&digits, 16).ok().map(|number| u64::from_ne_bytes(number.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_id_becomes_its_first_octets() {
        let number = first_octets("01020304-0506-0708-090a-0b0c0d0e0f10\n");
        assert_eq!(number, Some(u64::from_ne_bytes([1, 2, 3, 4, 5, 6, 7, 8])));
        assert_eq!(first_octets("01020304"), None);
        assert_eq!(first_octets("x1020304-0506-0708-090a-0b0c0d0e0f10"), None);
    }
}
