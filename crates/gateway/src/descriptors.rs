//! How many files and sockets the process may have open, and what follows for how many connections it takes on.
//!
//! Shells and service managers start a process with a low soft bound (1024) for the sake of programs that cannot do with more; who
//! can is meant to raise it to the hard one. What the hard one does not allow is not taken on: a gateway without descriptors
//! cannot ask a provider, and would take its own lack for the provider's failure.

/// Beside connections: the ports, the runtime's own, the files that are read now and then, operators.
const OWN: u64 = 64;

/// Raises the bound as far as it goes, and says how many descriptors there are; none where there is no such bound.
pub(crate) fn raise() -> Option<u64> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        // Where it may not be raised, the soft bound is what there is.
        match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
            Ok(()) => maximum,
            Err(_) => current,
        }
    }
    #[cfg(not(unix))]
    None
}

/// Of `wanted` connections, those for which there are descriptors: each may need another one, to a provider.
pub(crate) fn afford(wanted: u32, descriptors: Option<u64>) -> u32 {
    let Some(descriptors) = descriptors else { return wanted };
    let affordable = descriptors.saturating_sub(OWN) / 2;
    wanted.min(u32::try_from(affordable).unwrap_or(u32::MAX)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_has_descriptors_for_both_its_sides() {
        assert_eq!(afford(10_000, None), 10_000);
        assert_eq!(afford(10_000, Some(1_048_576)), 10_000);
        assert_eq!(afford(10_000, Some(1024)), 480);
        assert_eq!(afford(10_000, Some(10)), 1, "and never none");
    }
}
