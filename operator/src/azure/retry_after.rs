//! `Retry-After` and its like: what is believed of them.

use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};

use crate::runtime::deliberate::Bug;

/// The longest wait that is believed. Azure's own are seconds, minutes at the most: whoever asks for more is mistaken, or
/// is not Azure, and must not silence an identity or a subscription. After that time one request goes, to ask again.
pub(crate) const LONGEST_BELIEVED: Duration = Duration::from_secs(15 * 60);

/// The finer ones first.
/// Source: `sdk/azcore/internal/shared/constants.go` and `shared.go` of <https://github.com/Azure/azure-sdk-for-go>
const IN_MILLISECONDS: [&str; 2] = ["retry-after-ms", "x-ms-retry-after-ms"];

/// How long Azure asks us to wait, as far as it is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RetryAfter {
    pub(crate) wait: Duration,
    /// More was asked for than is believed.
    pub(crate) doubted: bool,
}

impl RetryAfter {
    /// A wait that was asked for; none where it is none.
    pub(crate) fn of(wait: Duration) -> Option<Self> {
        // Even the bug has to do with times that a clock can count.
        let wait = wait.min(Duration::from_secs(24 * 3600));
        let doubted = wait > LONGEST_BELIEVED && !Bug::AnyRetryAfterBelieved.is_on();
        (!wait.is_zero()).then_some(Self {
            wait: if doubted { LONGEST_BELIEVED } else { wait },
            doubted,
        })
    }

    /// What the headers of an answer ask for. A wait of nothing, one that is over and whatever is none count as no header
    /// at all: the caller's own back-off holds. Of several the finest counts, and of several of one name the longest.
    pub(crate) fn read(headers: &HeaderMap, now: SystemTime) -> Option<Self> {
        let longest = |name: &str, parse: &dyn Fn(&str) -> Option<Duration>| {
            let values = headers.get_all(name).iter().map(HeaderValue::to_str);
            values.flatten().filter_map(parse).max()
        };
        let milliseconds = |text: &str| number(text).map(|it| it / 1000);
        IN_MILLISECONDS
            .iter()
            .find_map(|name| longest(name, &milliseconds).and_then(Self::of))
            .or_else(|| {
                let waits = longest(RETRY_AFTER.as_str(), &|text| seconds(text, now));
                waits.and_then(Self::of)
            })
    }
}

/// Seconds, several of them where something has joined headers, or a date.
fn seconds(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    let all: Option<Vec<_>> = text.split(',').map(number).collect();
    match all {
        Some(numbers) => numbers.into_iter().max(),
        // Also the two forms of old, which RFC 9110 has everybody read.
        None => httpdate::parse_http_date(text)
            .ok()?
            .duration_since(now)
            .ok(),
    }
}

/// A number as it is written by hand: digits, and a fraction perhaps. One that no clock can count is the longest wait.
fn number(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole = whole.parse().map_or(Duration::MAX, Duration::from_secs);
    let nanoseconds: u32 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    Some(whole.saturating_add(Duration::from_nanos(nanoseconds.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wed, 21 Oct 2015 07:28:00 GMT
    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_445_412_480)
    }

    fn read(headers: &[(&'static str, &str)]) -> Option<RetryAfter> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        RetryAfter::read(&map, now())
    }

    #[test]
    fn every_form_that_is_in_use_is_read() {
        let after = |milliseconds| RetryAfter::of(Duration::from_millis(milliseconds));
        for (headers, expected) in [
            (&[("retry-after", "17")][..], after(17_000)),
            (&[("retry-after", "\t17 ")], after(17_000)),
            (&[("retry-after", "1.5")], after(1_500)),
            (&[("retry-after", "0.25")], after(250)),
            (&[("retry-after-ms", "1500")], after(1_500)),
            (
                &[("x-ms-retry-after-ms", "1500.5")],
                RetryAfter::of(Duration::from_micros(1_500_500)),
            ),
            (
                &[("retry-after", "2"), ("x-ms-retry-after-ms", "1500")],
                after(1_500),
            ),
            (&[("retry-after", "2"), ("retry-after", "7")], after(7_000)),
            (&[("retry-after", "2, 7")], after(7_000)),
            (
                &[("retry-after-ms", "soon"), ("retry-after", "3")],
                after(3_000),
            ),
            (
                &[("retry-after-ms", "0"), ("retry-after", "3")],
                after(3_000),
            ),
            (
                &[("retry-after", "Wed, 21 Oct 2015 07:29:30 GMT")],
                after(90_000),
            ),
            (
                &[("retry-after", "Wednesday, 21-Oct-15 07:29:30 GMT")],
                after(90_000),
            ),
            (
                &[("retry-after", "Wed Oct 21 07:29:30 2015")],
                after(90_000),
            ),
            (&[("retry-after", "900")], after(900_000)),
        ] {
            assert_eq!(read(headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn more_than_a_quarter_of_an_hour_is_not_believed() {
        let doubted = Some(RetryAfter {
            wait: LONGEST_BELIEVED,
            doubted: true,
        });
        for headers in [
            &[("retry-after", "901")][..],
            &[("retry-after", "900.001")],
            &[("retry-after", "315360000")],
            &[("retry-after", "18446744073709551615")],
            &[("retry-after", "99999999999999999999999999999999")],
            &[("retry-after-ms", "18446744073709551615")],
            &[("retry-after-ms", "900001")],
            &[("x-ms-retry-after-ms", "99999999999999999999999")],
            &[("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT")],
            &[("retry-after", "Fri, 31 Dec 2027 23:59:59 GMT")],
        ] {
            assert_eq!(read(headers), doubted, "{headers:?}");
        }
    }

    #[test]
    fn nonsense_and_what_is_over_count_as_none() {
        for value in [
            "",
            " ",
            "0",
            "0.0",
            "-1",
            "+5",
            "-18446744073709551615",
            "1e3",
            "0x10",
            "inf",
            "NaN",
            "1,5,",
            "1.2.3",
            ".",
            "5s",
            "soon",
            "Wed, 21 Oct 2015 07:28:00 GMT",
            "Wed, 21 Oct 2015 07:27:59 GMT",
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "Wed, 32 Oct 2015 07:28:00 GMT",
            "2015-10-21T07:29:30Z",
        ] {
            for name in ["retry-after", "retry-after-ms", "x-ms-retry-after-ms"] {
                assert_eq!(read(&[(name, value)]), None, "{name}: {value}");
            }
        }
        assert_eq!(read(&[]), None);
        let mut map = HeaderMap::new();
        map.append(RETRY_AFTER, HeaderValue::from_bytes(b"\xff\xfe").unwrap());
        assert_eq!(RetryAfter::read(&map, now()), None);
    }
}
