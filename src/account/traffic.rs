//! The traffic log: who was served what by direct links, day by day, archived before the service
//! forgets it (`000`: "仅限查询近三天的日志数据").

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan};
use tokio::sync::Semaphore;

use super::Error;
use super::refusal::{Pause, Refusal};
use crate::api::{self, Client};
use crate::state::{DaySum, State};
use crate::types::{IMAGE_BED, SERVICE_ZONE};

/// How many days the service tells, today among them.
const REACH: i64 = 3;

/// How old an answer about a day may be that is not over.
const FRESH: SignedDuration = SignedDuration::from_mins(10);

/// How long after its end rows of a day may still come.
const LATE: SignedDuration = SignedDuration::from_hours(1);

/// How long a mount that has begun leaves the archive alone, and how often it looks whether a day is
/// due: an hour in which nothing is due costs no call.
const SOON: Duration = Duration::from_secs(20);
const OFTEN: Duration = Duration::from_secs(3600);

/// The traffic log of an account and its archive in the state file.
pub struct TrafficLog {
    client: Client,
    state: Arc<State>,
    /// One asks, the others wait for its answer.
    asking: Semaphore,
    refusal: Refusal,
    pause: Pause,
}

impl TrafficLog {
    /// The log, with its archive in this state file.
    pub fn new(client: Client, state: Arc<State>) -> Self {
        Self {
            client,
            state,
            asking: Semaphore::new(1),
            refusal: Refusal::default(),
            pause: Pause::default(),
        }
    }

    /// The service's today. Until it has answered once this machine's clock is believed.
    pub fn today(&self) -> Date {
        SERVICE_ZONE.to_datetime(self.now()).date()
    }

    fn now(&self) -> Timestamp {
        let ahead = self.client.clock().unwrap_or_default();
        Timestamp::now().checked_add(ahead).unwrap_or(Timestamp::MAX)
    }

    /// The days that the service tells, the oldest first: it is the next to be forgotten.
    pub fn reach(&self) -> impl DoubleEndedIterator<Item = Date> + use<> {
        let today = self.today();
        (0..REACH).rev().filter_map(move |back| today.checked_sub(back.days()).ok())
    }

    /// Whether the service refused to tell it the last time.
    pub fn is_refused(&self) -> bool {
        self.refusal.holds().is_some()
    }

    /// Makes the archive as new as it has to be for somebody who looks: a day that was over is asked
    /// for once, today at most every ten minutes.
    pub async fn look(&self) -> Result<(), Error> {
        self.learn_clock().await?;
        self.ask(self.reach().collect()).await
    }

    /// The same for one day.
    pub async fn look_at(&self, day: Date) -> Result<(), Error> {
        if !self.is_due(day)? {
            return Ok(());
        }
        self.learn_clock().await?;
        self.ask(self.reach().filter(|reached| *reached == day).collect()).await
    }

    /// Archives the days that are over. Nobody waits for it.
    pub async fn archive(&self) -> Result<(), Error> {
        api::in_background(async {
            self.learn_clock().await?;
            let today = self.today();
            self.ask(self.reach().filter(|day| *day < today).collect()).await
        })
        .await
    }

    /// Any answer tells the service's clock, and with it which day it is there.
    async fn learn_clock(&self) -> Result<(), Error> {
        if self.client.clock().is_some() {
            return Ok(());
        }
        self.pause.check()?;
        let asked = self.client.account().await;
        asked.map(drop).map_err(|error| self.pause.note(error.into()))
    }

    /// Archives what is due, for as long as the mount lives.
    pub async fn run(&self) -> Infallible {
        tokio::time::sleep(SOON).await;
        loop {
            if let Err(error) = self.archive().await {
                tracing::debug!("archiving the traffic log: {error}");
            }
            tokio::time::sleep(OFTEN).await;
        }
    }

    async fn ask(&self, days: Vec<Date>) -> Result<(), Error> {
        if !days.iter().map(|day| self.is_due(*day)).any(|due| !matches!(due, Ok(false))) {
            return Ok(());
        }
        let _turn = self.asking.acquire().await.expect("the semaphore is never closed");
        self.refusal.check()?;
        self.pause.check()?;
        let (mut refused, mut garbled, mut is_told) = (Vec::new(), None, false);
        for day in days {
            if !self.is_due(day)? {
                continue;
            }
            match self.ask_day(day).await {
                Ok(()) => is_told = true,
                Err(Error::Api(error)) if error.may_lack_a_right() => refused.push((day, error)),
                // What is wrong with one day need not be wrong with the next.
                Err(Error::Api(error @ api::Error::Garbled { .. })) => garbled = Some(error),
                Err(error) => return Err(self.pause.note(error)),
            }
        }
        self.settle_refused(refused, is_told)?;
        garbled.map_or(Ok(()), |error| Err(self.pause.note(error.into())))
    }

    /// A refusal is one of the account, unless another day is told: then the service's three days are
    /// shorter than ours.
    fn settle_refused(&self, refused: Vec<(Date, api::Error)>, is_told: bool) -> Result<(), Error> {
        let now = self.now().as_second();
        let is_told = is_told || self.state.day_asked(self.today())?.is_some();
        for (day, error) in refused {
            if !is_told || day == self.today() {
                return Err(self.refusal.note(error));
            }
            tracing::debug!("{day} is told no more: {error}");
            self.state.day_is_not_told(day, now)?;
        }
        Ok(())
    }

    fn is_due(&self, day: Date) -> Result<bool, Error> {
        let asked = self.state.day_asked(day)?;
        Ok(asked.is_none_or(|asked| !asked.is_whole && self.is_old(asked.at)))
    }

    fn is_old(&self, asked: i64) -> bool {
        let asked = Timestamp::from_second(asked).unwrap_or_default();
        let age = self.now().duration_since(asked);
        // Where a clock was put back nothing is fresh.
        age >= FRESH || age.is_negative()
    }

    async fn ask_day(&self, day: Date) -> Result<(), Error> {
        let now = self.now();
        let (first, last) = bounds(day);
        self.state.begin_traffic()?;
        let mut pages = self.client.traffic(first, last);
        while let Some(rows) = pages.next().await? {
            self.state.add_traffic(&rows)?;
        }
        self.refusal.forget();
        let is_whole = now.duration_since(last) >= LATE;
        Ok(self.state.replace_traffic(day, now.as_second(), now > last, is_whole)?)
    }

    /// Learns what each hour within reach used, by asking hour by hour. `told` hears how many hours are
    /// still to be asked for.
    pub async fn look_by_hour(&self, told: impl Fn(usize)) -> Result<(), Error> {
        self.look().await?;
        let _turn = self.asking.acquire().await.expect("the semaphore is never closed");
        let now = self.now();
        let mut hours = Vec::new();
        for day in self.reach() {
            if self.hours_are_due(day)? {
                hours.extend((0..24).map(|hour| (day, hour)).filter(|at| begin_of(*at) <= now));
            }
        }
        for (place, at) in hours.iter().enumerate() {
            told(hours.len() - place);
            let hour = self.ask_hour(*at).await?;
            self.state.keep_hour(&hour)?;
            let (day, _) = *at;
            if hours.get(place + 1).is_none_or(|(next, _)| *next != day) {
                self.state.asked_for_hours(day, now.as_second())?;
                if now <= bounds(day).1 {
                    // Else the hours of a day that grows would tell more than the day.
                    self.ask_day(day).await?;
                }
            }
        }
        Ok(())
    }

    /// Whether the hours of a day may tell more than when they were asked for last.
    fn hours_are_due(&self, day: Date) -> Result<bool, Error> {
        let asked = self.state.day_asked(day)?.and_then(|asked| asked.by_hour);
        let Some(asked) = asked else { return Ok(true) };
        let at = Timestamp::from_second(asked).unwrap_or_default();
        Ok(at.duration_since(bounds(day).1) < LATE && self.is_old(asked))
    }

    async fn ask_hour(&self, (day, hour): (Date, u8)) -> Result<DaySum, Error> {
        let begin = begin_of((day, hour));
        let mut sum = DaySum { day, hour: Some(hour), bed: 0, drive: 0, rows: 0 };
        let mut pages = self.client.traffic(begin, begin + 1.hour() - 1.second());
        while let Some(rows) = pages.next().await? {
            for row in rows {
                let of = if row.source == IMAGE_BED { &mut sum.bed } else { &mut sum.drive };
                *of = of.saturating_add(row.traffic);
                sum.rows += 1;
            }
        }
        Ok(sum)
    }
}

/// The first second of an hour of a day of the service.
fn begin_of((day, hour): (Date, u8)) -> Timestamp {
    bounds(day).0 + i64::from(hour).hours()
}

/// The first and the last second of a day of the service.
fn bounds(day: Date) -> (Timestamp, Timestamp) {
    let at = |time| SERVICE_ZONE.to_timestamp(day.to_datetime(time)).unwrap_or_default();
    (at(jiff::civil::time(0, 0, 0, 0)), at(jiff::civil::time(23, 59, 59, 0)))
}
