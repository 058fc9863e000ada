//! The table of rates: how many calls a second each endpoint may start.

use std::str::FromStr;

use super::endpoint::Endpoint;

/// The least rate: an hour between two calls.
const LEAST: f64 = 1.0 / 3600.0;

/// Calls a second for each endpoint, as documented or as `--qps` says.
#[derive(Clone, Debug, PartialEq)]
pub struct QpsTable {
    /// By `Endpoint::index`; `None` is unlimited, and no rate is 0.
    rates: [Option<f64>; Endpoint::ALL.len()],
}

impl QpsTable {
    /// The documented rates (`003`: 限流处理), those of the siblings where none is documented.
    pub fn documented() -> Self {
        Self { rates: Endpoint::ALL.map(|endpoint| Some(f64::from(endpoint.documented_rate()))) }
    }

    /// No limit at all, for a stand-in of the service.
    pub fn unlimited() -> Self {
        Self { rates: Endpoint::ALL.map(|_| None) }
    }

    /// Calls a second, `None` for no limit.
    pub(super) fn rate(&self, endpoint: Endpoint) -> Option<f64> {
        self.rates[endpoint.index()]
    }

    fn set(&mut self, item: &str) -> Result<(), NotQps> {
        let (name, rate) = item.split_once('=').ok_or_else(|| NotQps::Form(item.into()))?;
        let name = name.trim();
        let endpoint = Endpoint::ALL
            .into_iter()
            .find(|endpoint| endpoint.name() == name)
            .ok_or_else(|| NotQps::Name(name.into()))?;
        self.rates[endpoint.index()] = match rate.trim() {
            "unlimited" => None,
            number => match number.parse::<f64>() {
                Ok(rate) if rate.is_finite() && rate >= LEAST => Some(rate),
                _ => return Err(NotQps::Rate(item.into())),
            },
        };
        Ok(())
    }
}

impl FromStr for QpsTable {
    type Err = NotQps;

    /// Reads `unlimited`, or `NAME=N,NAME=unlimited,…` over the documented rates.
    fn from_str(text: &str) -> Result<Self, NotQps> {
        if text.trim() == "unlimited" {
            return Ok(Self::unlimited());
        }
        let mut table = Self::documented();
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .try_for_each(|item| table.set(item))?;
        Ok(table)
    }
}

/// The text is not a table of rates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotQps {
    /// An item without `=`.
    #[error("{0:?}: NAME=N or NAME=unlimited is wanted, or the one word unlimited")]
    Form(String),
    /// A name that no endpoint has.
    #[error("no endpoint is called {0:?}; there are {names}", names = names())]
    Name(String),
    /// A rate that is no number above 0.
    #[error("{0:?}: the rate is a number of calls a second above 0, as 4 or 0.2, or unlimited")]
    Rate(String),
}

fn names() -> String {
    Endpoint::ALL.map(Endpoint::name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_items_over_the_documented_rates() {
        let table: QpsTable = "create=0.2, list=unlimited,user/info=10".parse().expect("a table");
        assert_eq!(table.rate(Endpoint::Create), Some(0.2));
        assert_eq!(table.rate(Endpoint::List), None);
        assert_eq!(table.rate(Endpoint::UserInfo), Some(10.0));
        assert_eq!(table.rate(Endpoint::Delete), Some(1.0));
        assert_eq!("unlimited".parse(), Ok(QpsTable::unlimited()));
        assert_eq!("".parse(), Ok(QpsTable::documented()));
    }

    #[test]
    fn refuses_what_it_cannot_read() {
        let refused = |text: &str| text.parse::<QpsTable>().expect_err("refused").to_string();
        assert!(refused("lists=4").contains("user/info"));
        assert!(refused("list").contains("NAME=N"));
        assert!(refused("list=0").contains("above 0"));
        for rate in ["-1", "NaN", "inf", "0.00001", "many"] {
            assert!(refused(&format!("list={rate}")).contains("above 0"), "{rate}");
        }
    }
}
