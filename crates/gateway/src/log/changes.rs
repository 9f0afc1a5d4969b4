//! What an operator reads afterwards: what became of places, an event each, and what is to be mended as an error.

use outrigger::{News, Notice, Route};
use tracing::{debug, error, info, warn};

/// Tells what the client noticed.
///
/// Failovers are as many as requests when a region is down, and rescues as many as its streams: they are counted in the metrics,
/// told on `/events`, stand in the access log, and are told here only to who asks for details.
pub(crate) fn tell(notice: &Notice) {
    match notice {
        Notice::Transition { route, from, to, reason, .. } => {
            let Route { provider, region, model, .. } = route;
            let reason = reason.map(|reason| reason.as_str());
            let (from, to) = (from.as_str(), to.as_str());
            if to == "open" {
                warn!(%provider, %region, %model, from, to, reason, "transition");
            } else {
                info!(%provider, %region, %model, from, to, reason, "transition");
            }
        }
        Notice::TakenOut { route, class, back_in, .. } => {
            let Route { provider, region, model, .. } = route;
            let back_in_s = back_in.map(|wait| wait.as_secs());
            error!(%provider, %region, %model, class = class.as_str(), back_in_s, "taken_out");
        }
        Notice::Hearsay { news, .. } => {
            let Route { provider, region, model, .. } = news.route();
            let (news, cooldown_ms) = match news {
                News::CoolDown { wait, .. } => ("cooldown", Some(wait.as_millis())),
                _ => ("tripped", None),
            };
            info!(%provider, %region, %model, news, cooldown_ms, "hearsay");
        }
        Notice::FailoverAdvised { route, .. } => {
            let Route { provider, region, model, .. } = route;
            info!(%provider, %region, %model, "failover_advised");
        }
        Notice::Failover { model, from, to, class, .. } => {
            debug!(%model, %from, %to, class = class.as_str(), "failover");
        }
        Notice::Rescue { model, from, to, class, result, .. } => {
            let to = to.as_ref().map(tracing::field::display);
            debug!(%model, %from, to, class = class.as_str(), result = result.as_str(), "rescue");
        }
        _ => {}
    }
}
