//! Exact decimal numbers: what filters compare, of any size.

use std::{cmp::Ordering, fmt};

/// The exact value of a JSON number, whatever its size: `1`, `1.0` and `10e-1` are one value, and
/// 2^53 and 2^53+1 are two.
///
/// The value is `±0.d₁d₂d₃… × 10^exponent`, with the first and the last digit not 0; zero has no
/// digits, and neither sign nor exponent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    negative: bool,
    digits: String,
    exponent: Integer,
}

impl Decimal {
    /// The value of the JSON number `token`; `None` if it is no JSON number.
    #[must_use]
    pub fn parse(token: &str) -> Option<Self> {
        let (negative, unsigned) = match token.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, token),
        };
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) => (whole, fraction),
            None => (mantissa, "0"),
        };
        let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let exponent = Integer::parse(exponent)?;

        let digits = format!("{whole}{fraction}");
        let significant = digits.trim_start_matches('0');
        if significant.is_empty() {
            let exponent = Integer {
                negative: false,
                digits: String::new(),
            };
            return Some(Self {
                negative: false,
                digits: String::new(),
                exponent,
            });
        }
        let leading_zeros = digits.len() - significant.len();
        // Neither length comes near an i64: both are parts of one text in memory.
        let shift = i64::try_from(whole.len()).ok()? - i64::try_from(leading_zeros).ok()?;
        Some(Self {
            negative,
            digits: significant.trim_end_matches('0').to_owned(),
            exponent: exponent.plus(shift),
        })
    }

    fn compare_magnitude(&self, other: &Self) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            // Both are fractions 0.d₁d₂…, so that digits compare as text does.
            (false, false) => self
                .exponent
                .cmp(&other.exponent)
                .then_with(|| self.digits.cmp(&other.digits)),
        }
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.compare_magnitude(other),
            (true, true) => other.compare_magnitude(self),
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Decimal {
    /// The one way of writing this value: equal values are written alike.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = |negative| if negative { "-" } else { "" };
        let Self {
            negative,
            digits,
            exponent,
        } = self;
        write!(
            f,
            "{}0.{digits}e{}{}",
            sign(*negative),
            sign(exponent.negative),
            exponent.digits
        )
    }
}

/// A whole number of any size: the exponent of `1e99999999999999999999999` is one.
///
/// Zero has no digits and no sign; other numbers do not begin with 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Integer {
    negative: bool,
    digits: String,
}

impl Integer {
    fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Some(Self::new(
            negative,
            digits.trim_start_matches('0').to_owned(),
        ))
    }

    fn new(negative: bool, digits: String) -> Self {
        Self {
            negative: negative && !digits.is_empty(),
            digits,
        }
    }

    /// The sum with a number that is small: its magnitude is far below 10^30.
    fn plus(self, small: i64) -> Self {
        // 10^30 and any i64 add up within an i128.
        const NATIVE_DIGITS: usize = 30;
        if self.digits.len() <= NATIVE_DIGITS {
            let magnitude: i128 = self.digits.parse().unwrap_or(0);
            let sum = if self.negative { -magnitude } else { magnitude } + i128::from(small);
            let digits = if sum == 0 {
                String::new()
            } else {
                sum.unsigned_abs().to_string()
            };
            return Self::new(sum < 0, digits);
        }
        // The sum has the sign of the large number: add to, or take from, its magnitude.
        let mut carry = i128::from(if self.negative { -small } else { small });
        let mut digits = self.digits.into_bytes();
        for digit in digits.iter_mut().rev() {
            if carry == 0 {
                break;
            }
            let sum = i128::from(*digit - b'0') + carry;
            *digit = b'0' + u8::try_from(sum.rem_euclid(10)).unwrap_or(0);
            carry = sum.div_euclid(10);
        }
        let mut text: String = if carry > 0 {
            carry.to_string()
        } else {
            String::new()
        };
        text.extend(digits.into_iter().map(char::from));
        Self::new(self.negative, text.trim_start_matches('0').to_owned())
    }
}

impl Ord for Integer {
    fn cmp(&self, other: &Self) -> Ordering {
        let magnitude = |a: &Self, b: &Self| {
            a.digits
                .len()
                .cmp(&b.digits.len())
                .then_with(|| a.digits.cmp(&b.digits))
        };
        match (self.negative, other.negative) {
            (false, false) => magnitude(self, other),
            (true, true) => magnitude(other, self),
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
        }
    }
}

impl PartialOrd for Integer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(token: &str) -> Decimal {
        Decimal::parse(token).unwrap_or_else(|| panic!("{token}"))
    }

    #[test]
    fn one_value_has_one_form_however_it_is_written() {
        for group in [
            ["1", "1.0", "10e-1", "0.1e1", "100E-2", "1e+0", "0.0001e4"].as_slice(),
            &["0", "-0", "0.0", "0e999", "-0.000e-5"],
            &["-120", "-1.2e2", "-0.12e+3", "-12000e-2"],
            &["9007199254740993", "9007199254740.993e3"],
            &[
                "1e100000000000000000000000000000000000001",
                "10e100000000000000000000000000000000000000",
            ],
        ] {
            for token in group {
                assert_eq!(decimal(token), decimal(group[0]), "{token}");
                assert_eq!(
                    decimal(token).to_string(),
                    decimal(group[0]).to_string(),
                    "{token}"
                );
            }
        }
    }

    #[test]
    fn numbers_of_any_size_are_ordered_exactly() {
        let ascending = [
            "-1e99999999999999999999999999999999999999999",
            "-1e400",
            "-2",
            "-1.5",
            "-1e-400",
            "0",
            "1e-99999999999999999999999999999999999999999",
            "1e-400",
            "0.1",
            "0.10000000000000000000000000000000000001",
            "9",
            "10",
            "9007199254740992",
            "9007199254740993",
            "18446744073709551615",
            "18446744073709551616",
            "1e400",
            "1.0000000000000000000000001e400",
            "9.99e99999999999999999999999999999999999999998",
            "1e99999999999999999999999999999999999999999",
            "1e100000000000000000000000000000000000000000",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(decimal(a).cmp(&decimal(b)), i.cmp(&j), "{a} against {b}");
            }
        }
    }

    #[test]
    fn borrowing_and_carrying_cross_every_digit_of_a_huge_exponent() {
        let huge = |first: &str, fill: &str| format!("{first}{}", fill.repeat(35));
        assert_eq!(
            decimal(&format!("0.01e1{}", "0".repeat(35))),
            decimal(&format!("0.1e{}", huge("", "9"))),
        );
        assert_eq!(
            decimal(&format!("10e-1{}", "0".repeat(35))),
            decimal(&format!("1e-{}", huge("", "9"))),
        );
        assert_eq!(
            decimal(&format!("10e{}", huge("", "9"))),
            decimal(&format!("1e1{}", "0".repeat(35))),
        );
    }

    #[test]
    fn what_json_does_not_call_a_number_is_none() {
        for token in [
            "", "-", "1.", ".5", "1e", "1e+", "0x1", "NaN", "1_0", "+1", "1e1.5", "--1",
        ] {
            assert_eq!(Decimal::parse(token), None, "{token}");
        }
    }
}
