//! Values as people write them: durations, for `#[serde(with = "…")]`, and points in time.

use std::{fmt::Display, time::SystemTime};

/// A point in time, to the second, as RFC 3339 has it: `2026-11-28T10:44:05Z`.
pub fn moment(time: SystemTime) -> impl Display {
    humantime::format_rfc3339_seconds(time)
}

/// A [`Duration`](std::time::Duration) as text such as `30s`, `1h 30m` or `250ms`.
pub mod duration {
    use std::{fmt, time::Duration};

    use serde::{
        Deserializer, Serializer,
        de::{Error, Visitor},
    };

    /// Longest duration, 100 years: that long from now is still a time.
    pub const LONGEST: Duration = Duration::from_secs(100 * 31_557_600);

    /// Writes the duration in the largest units that fit.
    ///
    /// # Errors
    /// Those of `serializer`.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*duration))
    }

    /// Reads a number with a unit, or several.
    ///
    /// # Errors
    /// If it is no text, has no unit, or is longer than [`LONGEST`].
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        deserializer.deserialize_str(Text)
    }

    struct Text;

    impl Visitor<'_> for Text {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a duration such as `30s` or `1h 30m`")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
            let duration = humantime::parse_duration(text).map_err(|error| {
                E::custom(format_args!(
                    "`{text}` is no duration such as `30s`: {error}"
                ))
            })?;
            if duration > LONGEST {
                let what = format_args!("`{text}` is longer than 100 years");
                return Err(E::custom(what));
            }
            Ok(duration)
        }
    }
}

/// An optional [`duration`]; absent if there is none.
pub mod option_duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Human(#[serde(with = "super::duration")] Duration);

    /// Writes the duration, if there is one.
    ///
    /// # Errors
    /// Those of `serializer`.
    pub fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        duration.map(Human).serialize(serializer)
    }

    /// Reads a duration as [`super::duration`] does.
    ///
    /// # Errors
    /// If it is no text, or has no unit.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let human = Option::<Human>::deserialize(deserializer)?;
        Ok(human.map(|Human(duration)| duration))
    }
}

#[cfg(test)]
mod tests {
    use serde::de::{IntoDeserializer, value::Error};

    use super::duration::{LONGEST, deserialize};

    #[test]
    fn a_duration_of_more_than_a_hundred_years_is_refused_by_what_is_written() {
        let read = |text: &str| deserialize(IntoDeserializer::<Error>::into_deserializer(text));
        let longest = format!("{}s", LONGEST.as_secs());
        assert_eq!(read(&longest), Ok(LONGEST));
        for text in ["3155760001s", "9223372036854775807s"] {
            let error = read(text).unwrap_err().to_string();
            assert_eq!(error, format!("`{text}` is longer than 100 years"));
        }
    }
}
