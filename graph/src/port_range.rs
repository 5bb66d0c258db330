use crate::configuration::ConfigValue;

/// Ports that a server may listen on, as Flink's keys write them: `0` for any free one, or ports and ranges such as
/// `50100-50200,50300`, of which the first free one is taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PortRange(Vec<(u16, u16)>);

impl PortRange {
    /// The ports, in the order in which they are to be tried; 0 asks the system for a free one.
    pub fn ports(&self) -> impl Iterator<Item = u16> + '_ {
        let any = self.0.is_empty().then_some(0);
        any.into_iter().chain(self.0.iter().flat_map(|(first, last)| *first..=*last))
    }
}

impl From<u16> for PortRange {
    /// One port; 0 for any.
    fn from(port: u16) -> Self {
        Self(if port == 0 { Vec::new() } else { vec![(port, port)] })
    }
}

impl std::fmt::Display for PortRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("0");
        }
        for (number, (first, last)) in self.0.iter().enumerate() {
            let comma = if number > 0 { "," } else { "" };
            if first == last { write!(f, "{comma}{first}")? } else { write!(f, "{comma}{first}-{last}")? }
        }
        Ok(())
    }
}

impl ConfigValue for PortRange {
    const EXPECTED: &'static str = "0 for any free port, or ports and ranges such as 50100-50200,50300";

    fn parse(text: &str) -> Option<Self> {
        if text.trim() == "0" {
            return Some(Self::default());
        }
        let ranges = text.split(',').map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
            (0 < first && first <= last).then_some((first, last))
        });
        ranges.collect::<Option<_>>().map(Self)
    }

    fn unset() -> Self {
        Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_ranges() {
        for (text, ports) in [("0", vec![0]), ("5", vec![5]), ("5-7, 9", vec![5, 6, 7, 9]), ("65535", vec![65535])] {
            let range = PortRange::parse(text).unwrap();
            assert_eq!(range.ports().collect::<Vec<_>>(), ports, "{text}");
            assert_eq!(PortRange::parse(&range.to_string()), Some(range));
        }
        for wrong in ["", "7-5", "0-5", "5,", "65536", "a", "-1"] {
            assert_eq!(PortRange::parse(wrong), None, "{wrong}");
        }
    }
}
