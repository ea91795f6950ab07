/// Unmasks a part of a payload (RFC 6455, section 5.3). `key` is turned so that it starts at the
/// first of `bytes`; the result starts at the byte that follows them.
pub(super) fn unmask(bytes: &mut [u8], key: [u8; 4]) -> [u8; 4] {
    let [a, b, c, d] = key;
    let wide = [a, b, c, d, a, b, c, d];
    let (words, rest) = bytes.as_chunks_mut();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ u64::from_ne_bytes(wide)).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(wide) {
        *byte ^= key;
    }
    let mut next = key;
    next.rotate_left(rest.len() % key.len());
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_definition_at_any_length_and_cut() {
        let key = [0x12, 0x34, 0x56, 0x78];
        for length in 0..40 {
            let masked: Vec<u8> = (0..length).map(|i: u8| i.wrapping_mul(37)).collect();
            let expected: Vec<u8> = masked
                .iter()
                .enumerate()
                .map(|(i, byte)| byte ^ key[i % 4])
                .collect();
            for first in 0..=masked.len() {
                for second in first..=masked.len() {
                    let mut bytes = masked.clone();
                    let (head, tail) = bytes.split_at_mut(second);
                    let (head, middle) = head.split_at_mut(first);
                    unmask(tail, unmask(middle, unmask(head, key)));
                    assert_eq!(bytes, expected);
                }
            }
        }
    }
}
