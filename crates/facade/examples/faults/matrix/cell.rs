//! One cell of the matrix: a fault, how the answer is wanted, where else one could go, how many ask at once.

use sim::Fault;

/// The region that is sick in every cell.
pub(crate) const SICK: &str = "us-east";

/// How many ask at once where many do.
pub(crate) const CROWD: usize = 200;

/// Where a call may go when the sick region fails it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Setting {
    /// Nowhere.
    Alone,
    /// One healthy region of the same tier.
    Two,
    /// Two healthy regions of the same tier.
    Three,
    /// Another model in a healthy region of the next tier.
    NextTier,
}

impl Setting {
    pub(crate) const ALL: [Self; 4] = [Self::Alone, Self::Two, Self::Three, Self::NextTier];

    /// All regions, the sick one first.
    pub(crate) fn regions(self) -> &'static [&'static str] {
        match self {
            Self::Alone => &[SICK],
            Self::Two | Self::NextTier => &[SICK, "eu-west"],
            Self::Three => &[SICK, "eu-west", "ap-southeast"],
        }
    }

    /// Whether a healthy deployment is left.
    pub(crate) fn has_refuge(self) -> bool {
        self != Self::Alone
    }
}

/// What is played.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) fault: Fault,
    pub(crate) stream: bool,
    pub(crate) setting: Setting,
    /// How many calls begin at one instant.
    pub(crate) calls: usize,
}

impl Cell {
    /// All cells, in the page's order.
    pub(crate) fn all() -> Vec<Self> {
        let mut cells = Vec::new();
        for setting in Setting::ALL {
            for fault in Fault::all() {
                for stream in [false, true] {
                    for calls in [1, CROWD] {
                        cells.push(Self { fault: fault.clone(), stream, setting, calls });
                    }
                }
            }
        }
        cells
    }
}
