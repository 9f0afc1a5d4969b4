//! The article's four acts, as a scenario: what its introduction says goes wrong with AI providers, one after the other.
//!
//! Each act has a quarter of the time. The faults of an act take its middle, from a tenth to nine tenths, so that one can
//! see a region fall sick and recover, and no act begins in the sickness of the last.

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
        let quarter = total / 4;
        let (start, long) = (quarter / 10, quarter.mul_f64(0.8));
        let fault = |act: u32, region: &str, fault: &Fault| Chaos {
            at: quarter * act + start,
            lasting: long,
            ..Chaos::new(region, fault)
        };
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
            at: quarter + start,
            lasting: long,
            quota: Quota::new(requests, Duration::from_secs(1)),
        };
        let act = |index: u32, name: &str, sick: &[&str]| Act {
            name: name.to_owned(),
            at: quarter * index,
            lasting: quarter,
            sick: sick.iter().map(|&region| region.to_owned()).collect(),
            load: 1.0,
            patience: None,
        };
        let acts = vec![
            act(0, "a region degrades", &[US]),
            Act { load: 1.5, ..act(1, "limits drop at peak", &[US, AP]) },
            act(2, "latency swings", &[US, EU, AP]),
            Act { patience: Some(Duration::from_secs(1)), ..act(3, "impatient callers retry", &[US]) },
        ];
        Self { seed, regions: article_regions(), faults, limits: vec![limit(US, 5), limit(AP, 15)], acts }
    }
}
