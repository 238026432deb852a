//! PADMÉ: lengths rounded up so that they say little.

/// Smallest padded length, in bytes: short texts all look alike.
const FLOOR: usize = 256;

/// The padded length of `len` bytes: PADMÉ ("Reducing Metadata Leakage from Encrypted Files and
/// Communication with PURBs", Nikitin et al. 2019, §4: leaks O(log log n) bits, costs at most 12 %),
/// at least 256, and never past `max` unless `len` is.
pub fn padded_len(len: usize, max: usize) -> usize {
    padme(len.max(FLOOR)).min(max).max(len)
}

fn padme(len: usize) -> usize {
    let exponent = len.ilog2();
    let last_bits = exponent - (exponent.ilog2() + 1);
    let mask = (1 << last_bits) - 1;
    (len + mask) & !mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_the_paper() {
        // Computed with the formula of §4 of the paper.
        for (len, padded) in [(0, 256), (256, 256), (257, 272), (1000, 1024), (1025, 1088), (65_537, 67_584)]
        {
            assert_eq!(padded_len(len, usize::MAX), padded, "{len}");
        }
    }

    #[test]
    fn padding_costs_little_and_stops_at_the_limit() {
        for len in 256..70_000 {
            let padded = padded_len(len, usize::MAX);
            assert!(padded >= len && (padded - len) * 100 <= len * 12, "{len} became {padded}");
            assert_eq!(padded_len(padded, usize::MAX), padded, "padding is stable");
        }
        assert_eq!(padded_len(1_000_001, 1_000_010), 1_000_010);
        assert_eq!(padded_len(20, 10), 20, "a limit is not a reason to cut");
    }
}
