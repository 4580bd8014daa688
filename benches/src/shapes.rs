//! What is measured: calls, load shapes, sync policies, and the ratios to be reached.

use std::fmt;
use std::str::FromStr;

use kvproto::v1;

/// What each request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Call {
    Get,
    SetNone,
    SetLogged,
    SetSynced,
}

impl Call {
    pub(crate) const ALL: [Self; 4] = [Self::Get, Self::SetNone, Self::SetLogged, Self::SetSynced];

    /// `None` for reads.
    pub(crate) fn durability(self) -> Option<v1::Durability> {
        match self {
            Self::Get => None,
            Self::SetNone => Some(v1::Durability::None),
            Self::SetLogged => Some(v1::Durability::Logged),
            Self::SetSynced => Some(v1::Durability::Synced),
        }
    }

    /// The policies of kvd under which the call is measured.
    pub(crate) fn policies(self) -> &'static [&'static str] {
        match self {
            Self::SetNone => &["always", "interval:1s"],
            Self::Get | Self::SetLogged | Self::SetSynced => &["always"],
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "GET",
            Self::SetNone => "SET NONE",
            Self::SetLogged => "SET LOGGED",
            Self::SetSynced => "SET SYNCED",
        })
    }
}

/// Closed-loop load: each of the calls in flight is replaced when it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    /// Calls in flight on each connection.
    pub(crate) in_flight: usize,
}

impl Shape {
    /// Four busy connections, 256 calls in flight; many connections with one each;
    /// one alone, for the latency.
    pub(crate) const STANDARD: [Self; 3] = [Self::new(4, 64), Self::new(50, 1), Self::new(1, 1)];

    pub(crate) const fn new(connections: usize, in_flight: usize) -> Self {
        Self {
            connections,
            in_flight,
        }
    }

    pub(crate) const fn calls_in_flight(self) -> usize {
        self.connections * self.in_flight
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.connections, self.in_flight)
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str, end| text.parse().ok().filter(|n| (1..=end).contains(n));
        text.split_once('x')
            .and_then(|(c, n)| Some(Self::new(number(c, 1024)?, number(n, 1024)?)))
            .ok_or_else(|| {
                "expected CONNECTIONSxIN_FLIGHT, each 1 to 1024, such as 4x64".to_owned()
            })
    }
}

/// One line of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) call: Call,
    pub(crate) policy: &'static str,
    pub(crate) shape: Shape,
}

/// Every row of the calls and shapes that were asked for.
pub(crate) fn rows(calls: &[Call], shapes: &[Shape]) -> Vec<Row> {
    let with_policy = calls
        .iter()
        .flat_map(|&call| call.policies().iter().map(move |&policy| (call, policy)));
    with_policy
        .flat_map(|(call, policy)| {
            let row = move |&shape| Row {
                call,
                policy,
                shape,
            };
            shapes.iter().map(row)
        })
        .collect()
}

impl Row {
    /// The least ratio of operations per second to the floor's. A single call in
    /// flight measures latency and has none.
    pub(crate) fn target(self) -> Option<f64> {
        match (self.call, self.shape.calls_in_flight()) {
            (Call::Get, 2..) => Some(0.90),
            (Call::SetNone, 2..) => Some(0.80),
            (Call::SetSynced, 256..) => Some(0.55),
            _ => None,
        }
    }

    /// The most that the floor itself may cost, in µs of server CPU per operation.
    pub(crate) fn floor_ceiling(self) -> Option<f64> {
        (self.call == Call::Get && self.shape == Shape::new(4, 64)).then_some(5.4)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {}, kvd --sync {}",
            self.call, self.shape, self.policy
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_read_and_shown() {
        assert_eq!("50x1".parse(), Ok(Shape::new(50, 1)));
        assert_eq!(Shape::new(4, 64).to_string().parse(), Ok(Shape::new(4, 64)));
        for bad in [
            "", "4", "4x", "x4", "0x1", "1x0", "4x64x2", "-1x1", "1025x1", "4 x 64",
        ] {
            assert!(bad.parse::<Shape>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_writes_that_do_not_wait_are_measured_under_two_policies() {
        let rows = rows(&Call::ALL, &Shape::STANDARD);
        assert_eq!(rows.len(), 15);
        let interval: Vec<_> = rows.iter().filter(|r| r.policy == "interval:1s").collect();
        assert_eq!(interval.len(), 3);
        assert!(interval.iter().all(|row| row.call == Call::SetNone));
    }

    #[test]
    fn targets_are_those_of_the_acceptance() {
        let target = |call, shape| {
            Row {
                call,
                policy: "always",
                shape,
            }
            .target()
        };
        assert_eq!(target(Call::Get, Shape::new(50, 1)), Some(0.90));
        assert_eq!(target(Call::SetNone, Shape::new(4, 64)), Some(0.80));
        assert_eq!(target(Call::SetSynced, Shape::new(4, 64)), Some(0.55));
        assert_eq!(target(Call::SetSynced, Shape::new(50, 1)), None);
        assert_eq!(target(Call::SetLogged, Shape::new(4, 64)), None);
        assert_eq!(target(Call::Get, Shape::new(1, 1)), None);
        let ceilings = rows(&Call::ALL, &Shape::STANDARD)
            .into_iter()
            .filter_map(Row::floor_ceiling);
        assert_eq!(ceilings.collect::<Vec<_>>(), [5.4]);
    }
}
