use std::time::Duration;

pub(super) fn parse_integer(text: &str) -> Option<i64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hexadecimal) => i64::from_str_radix(hexadecimal, 16).ok(),
        None => text.parse().ok(),
    }
}

pub(super) fn parse_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// A number with one of Hadoop's units of time (ns, us, ms, s, m, h, d); without one it is in `unit`. None for what is
/// not a duration, and for negative ones.
#[must_use]
pub fn parse_duration(text: &str, unit: Duration) -> Option<Duration> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, suffix) = text.split_at(digits);
    let number: u32 = u32::try_from(number.parse::<u64>().ok()?).unwrap_or(u32::MAX);
    let unit = match suffix.trim() {
        "" => unit,
        "ns" => Duration::from_nanos(1),
        "us" => Duration::from_micros(1),
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(3600),
        "d" => Duration::from_secs(86_400),
        _ => return None,
    };
    unit.checked_mul(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let check = |text, expect: Option<u64>| {
            assert_eq!(parse_duration(text, Duration::from_millis(1)), expect.map(Duration::from_millis), "{text}");
        };
        check("250", Some(250));
        check("30s", Some(30_000));
        check(" 2 m", Some(120_000));
        check("1D", Some(86_400_000));
        check("-1", None);
        check("s", None);
        check("5 weeks", None);
        check("99999999999999999999", None);
    }

    #[test]
    fn numbers_and_truths() {
        assert_eq!(parse_integer("0x10"), Some(16));
        assert_eq!(parse_integer("-7"), Some(-7));
        assert_eq!(parse_integer("7.5"), None);
        assert_eq!(parse_bool("TRUE"), Some(true));
        assert_eq!(parse_bool("yes"), None);
    }
}
