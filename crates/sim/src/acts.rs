//! The article's four acts, as a scenario: what its introduction says goes wrong with AI providers, one after the other;
//! and four more that its readers will meet as well.
//!
//! Acts have equal shares of the time. The faults of an act take its middle, from a tenth to nine tenths, so that one can
//! see a region fall sick and recover, and no act begins in the sickness of the last. In every act there is a region that
//! could serve all: what callers lose, they lose to the way they ask.

use std::time::Duration;

use crate::{
    Fault, Quota,
    scenario::{Act, Chaos, Limit, Scenario, article_regions},
};

const US: &str = "us-east";
const EU: &str = "eu-west";
const AP: &str = "ap-southeast";

impl Scenario {
    /// The article's four acts in `total` time, on its three regions:
    ///
    /// 1. *a region degrades*: in us-east six of ten calls end with 503 or a reset, and all are four times slower;
    /// 2. *limits drop at peak*: load rises by half while us-east admits 5 calls a second and ap-southeast 15;
    /// 3. *latency swings*: the regions take turns in being eight times slower;
    /// 4. *impatient callers retry*: us-east goes silent before the first token, and callers hang up after a second.
    pub fn four_acts(total: Duration, seed: u64) -> Self {
        let stage = Stage { act: total / 4 };
        let long = stage.long();
        let fault = |act: u32, region: &str, fault: &Fault| stage.fault(act, region, fault);
        let mut faults = vec![
            Chaos { status: Some(503), share: Some(0.4), ..fault(0, US, &Fault::status(503)) },
            // A third of the six of ten that the first fault spares.
            Chaos { share: Some(1.0 / 3.0), ..fault(0, US, &Fault::Reset) },
            Chaos { factor: Some(4.0), ..fault(0, US, &Fault::Slow { factor: 4.0 }) },
        ];
        for (turn, region) in [AP, US, EU, AP, US].into_iter().enumerate() {
            let turn = u32::try_from(turn).unwrap_or(0);
            let slow = fault(2, region, &Fault::Slow { factor: 8.0 });
            faults.push(Chaos {
                at: slow.at + long / 5 * turn,
                lasting: long / 5,
                factor: Some(8.0),
                ..slow
            });
        }
        let late = Duration::from_secs(4);
        faults.push(Chaos { delay: Some(late), ..fault(3, US, &Fault::SlowFirstToken { delay: late }) });
        let limit = |region: &str, requests| Limit {
            region: region.to_owned(),
            at: stage.start(1),
            lasting: long,
            quota: Quota::new(requests, Duration::from_secs(1)),
        };
        let act = |index: u32, name: &str, sick: &[&str]| stage.act(index, name, sick);
        let acts = vec![
            act(0, "a region degrades", &[US]),
            Act { load: 1.5, ..act(1, "limits drop at peak", &[US, AP]) },
            act(2, "latency swings", &[US, EU, AP]),
            Act { patience: Some(Duration::from_secs(1)), ..act(3, "impatient callers retry", &[US]) },
        ];
        Self { seed, regions: article_regions(), faults, limits: vec![limit(US, 5), limit(AP, 15)], acts }
    }

    /// The article's four acts in the first four fifths of `total`, and then *all regions refuse*: nobody can be reached.
    pub fn five_acts(total: Duration, seed: u64) -> Self {
        let stage = Stage { act: total / 5 };
        let mut scenario = Self::four_acts(stage.act * 4, seed);
        scenario.faults.extend([US, EU, AP].map(|region| stage.fault(4, region, &Fault::Refuse)));
        scenario.acts.push(stage.act(4, "all regions refuse", &[US, EU, AP]));
        scenario
    }

    /// The article's four acts in the first half of `total`, and then, on the same regions:
    ///
    /// 5. *a region goes silent*: us-east takes requests and never answers one;
    /// 6. *answers break off*: eu-west cuts its answers off half way, and later breaks their frames;
    /// 7. *a provider is overloaded*: us-east and eu-west answer 529;
    /// 8. *a quota is spent*: eu-west answers with the 429 that no waiting heals.
    ///
    /// Through these four ap-southeast is well: who still waits for a region of the last act has somewhere to go.
    pub fn eight_acts(total: Duration, seed: u64) -> Self {
        let stage = Stage { act: total / 8 };
        let mut scenario = Self::four_acts(total / 2, seed);
        let half = stage.long() / 2;
        let cut = Chaos { lasting: half, ..stage.fault(5, EU, &Fault::Cut { after: 5 }) };
        let broken = stage.fault(5, EU, &Fault::Malformed { after: 3 });
        scenario.faults.extend([
            stage.fault(4, US, &Fault::Silent),
            cut,
            Chaos { at: broken.at + half, lasting: half, ..broken },
            stage.fault(6, US, &Fault::Overloaded),
            stage.fault(6, EU, &Fault::Overloaded),
            stage.fault(7, EU, &Fault::QuotaSpent),
        ]);
        scenario.acts.extend([
            stage.act(4, "a region goes silent", &[US]),
            stage.act(5, "answers break off", &[EU]),
            stage.act(6, "a provider is overloaded", &[US, EU]),
            stage.act(7, "a quota is spent", &[EU]),
        ]);
        scenario
    }
}

/// Acts of equal length, one after the other.
#[derive(Clone, Copy, Debug)]
struct Stage {
    act: Duration,
}

impl Stage {
    /// When the faults of an act begin.
    fn start(self, act: u32) -> Duration {
        self.act * act + self.act / 10
    }

    /// How long they last.
    fn long(self) -> Duration {
        self.act.mul_f64(0.8)
    }

    /// A fault that takes the middle of an act.
    fn fault(self, act: u32, region: &str, fault: &Fault) -> Chaos {
        Chaos { at: self.start(act), lasting: self.long(), ..Chaos::new(region, fault) }
    }

    fn act(self, index: u32, name: &str, sick: &[&str]) -> Act {
        Act {
            name: name.to_owned(),
            at: self.act * index,
            lasting: self.act,
            sick: sick.iter().map(|&region| region.to_owned()).collect(),
            load: 1.0,
            patience: None,
        }
    }
}
