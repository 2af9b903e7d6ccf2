//! Whether a double brings a JSON number back as it was written.

/// Decimal places for which any decimal survives the way through a double
/// (`f64::DIGITS`), as long as its magnitude is that of a normal double.
const SAFE_DIGITS: usize = f64::DIGITS as usize;

/// Decimal exponents that are far inside the range of normal doubles (±307).
const SAFE_EXPONENTS: std::ops::RangeInclusive<i64> = -250..=250;

/// The double nearest to the JSON number `token`, if its shortest text is the same decimal number.
///
/// `1`, `1.0` and `10e-1` are the same number; 2^53 + 1 has no such double.
pub(super) fn as_double(token: &str) -> Option<f64> {
    let double = token
        .parse()
        .ok()
        .filter(|double: &f64| double.is_finite())?;
    if token.len() <= SAFE_DIGITS && !token.contains(['e', 'E']) {
        return Some(double);
    }
    let decimal = Decimal::parse(token)?;
    if decimal.digits.len() <= SAFE_DIGITS && SAFE_EXPONENTS.contains(&decimal.exponent) {
        return Some(double);
    }
    // Where several texts are equally short, the one that `native::write` writes counts.
    let shortest = serde_json::to_string(&double).ok()?;
    (Decimal::parse(&shortest)? == decimal).then_some(double)
}

/// `0.digits × 10^exponent`, without zeros at either end; zero has no digits.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    /// Reads a JSON number; none if its exponent is beyond all reason.
    fn parse(token: &str) -> Option<Self> {
        let (negative, token) = match token.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, token),
        };
        let (mantissa, power) = token.split_once(['e', 'E']).unwrap_or((token, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));

        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let written = digits.len();
        digits.drain(..digits.iter().take_while(|&&digit| digit == b'0').count());
        let leading_zeros = written - digits.len();
        digits.truncate(
            digits
                .iter()
                .rposition(|&digit| digit != b'0')
                .map_or(0, |last| last + 1),
        );

        let exponent = if digits.is_empty() {
            0
        } else {
            let point = i64::try_from(whole.len()).ok()? - i64::try_from(leading_zeros).ok()?;
            power.parse::<i64>().ok()?.checked_add(point)?
        };
        Some(Self {
            negative,
            digits,
            exponent,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_a_double_brings_back() {
        for token in [
            "0",
            "-0",
            "-0.0",
            "0e999999999999999999999",
            "1",
            "1.0",
            "10e-1",
            "0.1",
            "-2.50",
            "9007199254740991",
            "9007199254740992",
            "9007199254740994",
            "1e22",
            "1e300",
            "1.5e-300",
            "1.7976931348623157e308",
            "5e-324",
            "0.30000000000000004",
            "123456789012345680000",
            "100000000000000000000000000000",
            "2E+3",
            "2E-3",
        ] {
            assert!(as_double(token).is_some(), "{token}");
        }
    }

    #[test]
    fn numbers_a_double_does_not_bring_back() {
        for token in [
            "9007199254740993",
            "-9007199254740993",
            "1e400",
            "-1e400",
            "1e-400",
            "1e309",
            "1e99999999999999999999",
            "1.7976931348623159e308",
            "4e-324",
            "0.1000000000000000055",
            "3.141592653589793238",
            "18446744073709551615",
            "9223372036854775807",
        ] {
            assert!(as_double(token).is_none(), "{token}");
        }
    }

    #[test]
    fn what_serde_json_writes_for_a_double_is_brought_back() {
        // Bit patterns spread over the whole range by an odd multiplier.
        for step in 0..100_000_u64 {
            let double = f64::from_bits(step.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            if double.is_finite() {
                let token = serde_json::to_string(&double).unwrap();
                assert_eq!(as_double(&token), Some(double));
            }
        }
    }
}
