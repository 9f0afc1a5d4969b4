//! `outrigger cordon` takes a place out now, `outrigger uncordon` puts it back.

use std::{fmt, process::ExitCode, str::FromStr, time::Duration};

use clap::Args as ClapArgs;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Failed, block_on, duration,
    operator::{Gateway, Operator},
    out,
};
use crate::query;

/// How many names that might be meant are told.
const TOLD: usize = 3;

/// Take a place out now: calls go elsewhere until it is put back
#[derive(Debug, ClapArgs)]
pub(super) struct CordonArgs {
    /// PROVIDER/REGION, or PROVIDER/REGION/MODEL for one of the provider's models there
    #[arg(value_name = "PLACE")]
    place: Place,
    #[command(flatten)]
    gateway: Gateway,
    /// Put it back by itself after so long: `10m`, `2h`
    #[arg(long = "for", value_name = "DURATION", value_parser = some_time)]
    lasting: Option<Duration>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Put a place back that was taken out
#[derive(Debug, ClapArgs)]
pub(super) struct UncordonArgs {
    /// PROVIDER/REGION, or PROVIDER/REGION/MODEL for one of the provider's models there
    #[arg(value_name = "PLACE")]
    place: Place,
    #[command(flatten)]
    gateway: Gateway,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn cordon(args: &CordonArgs) -> Result<ExitCode, Failed> {
    let done = block_on(take_out(&args.gateway.operator(), &args.place, args.lasting))?;
    done.tell(args.json)
}

pub(super) fn uncordon(args: &UncordonArgs) -> Result<ExitCode, Failed> {
    let done = block_on(put_back(&args.gateway.operator(), &args.place))?;
    done.tell(args.json)
}

/// A length of time in which something can happen.
fn some_time(text: &str) -> Result<Duration, String> {
    let lasting = duration(text)?;
    if lasting.is_zero() {
        Err("that is no time at all: the place would not be taken out".to_owned())
    } else {
        Ok(lasting)
    }
}

/// What `/cordon` is asked for.
#[derive(Serialize)]
struct Order<'a> {
    provider: &'a str,
    region: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    lasting: Option<&'a str>,
}

async fn take_out(operator: &Operator, place: &Place, lasting: Option<Duration>) -> Result<Done, Failed> {
    let status: Status = operator.get("/status").await?;
    let found = status.find(place)?;
    let Place { provider, region, model } = place;
    let lasting = lasting.map(|lasting| humantime::format_duration(lasting).to_string());
    let order = Order { provider, region, model: model.as_deref(), lasting: lasting.as_deref() };
    let _deployments: Value = operator.post("/cordon", &order).await?;
    Ok(Done { cordoned: true, lasting, deployments: found, absent: None })
}

async fn put_back(operator: &Operator, place: &Place) -> Result<Done, Failed> {
    let status: Status = operator.get("/status").await?;
    // What is taken out by name is put back by name, whether or not it is configured now.
    let is_said = status.cordons.iter().any(|said| place.covers(said));
    let found = match status.find(place) {
        Err(_) if is_said => Vec::new(),
        found => found?,
    };
    let Place { provider, region, model } = place;
    let query =
        query::of(&[("provider", Some(provider)), ("region", Some(region)), ("model", model.as_deref())]);
    let _deployments: Value = operator.delete(&format!("/cordon{query}")).await?;
    let absent = found.is_empty().then(|| place.to_string());
    Ok(Done { cordoned: false, lasting: None, deployments: found, absent })
}

/// The names nearest to the one that was given.
fn nearest(place: &Place, deployments: &[Deployment]) -> String {
    let given = place.to_string();
    let mut names: Vec<String> = deployments
        .iter()
        .map(|one| match place.model {
            Some(_) => one.to_string(),
            None => format!("{}/{}", one.provider, one.region),
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names.sort_by_key(|name| strsim::damerau_levenshtein(&given, name));
    if names.is_empty() {
        return "it has none at all".to_owned();
    }
    names.truncate(TOLD);
    format!("nearest: {}", names.join(", "))
}

/// A provider's region, or one model there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Place {
    provider: String,
    region: String,
    model: Option<String>,
}

impl Place {
    fn means(&self, one: &Deployment) -> bool {
        one.provider == self.provider
            && one.region == self.region
            && self.model.as_ref().is_none_or(|model| *model == one.model)
    }

    /// Whether all that the other means, this means too.
    fn covers(&self, other: &Self) -> bool {
        (&self.provider, &self.region) == (&other.provider, &other.region)
            && self.model.as_ref().is_none_or(|model| Some(model) == other.model.as_ref())
    }
}

impl FromStr for Place {
    type Err = &'static str;

    /// A model may hold slashes, a provider and a region hold none.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(3, '/').map(str::to_owned);
        let (provider, region, model) = (parts.next(), parts.next(), parts.next());
        let (Some(provider), Some(region)) = (provider, region) else {
            return Err("a place is PROVIDER/REGION or PROVIDER/REGION/MODEL");
        };
        if provider.is_empty() || region.is_empty() || model.as_deref() == Some("") {
            return Err("a place is PROVIDER/REGION or PROVIDER/REGION/MODEL, and no part is empty");
        }
        Ok(Self { provider, region, model })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.region)?;
        self.model.as_ref().map_or(Ok(()), |model| write!(f, "/{model}"))
    }
}

/// What is read of `/status`.
#[derive(Deserialize)]
struct Status {
    deployments: Vec<Deployment>,
    /// What is taken out by name.
    #[serde(default)]
    cordons: Vec<Place>,
}

impl Status {
    /// The deployments that are meant.
    ///
    /// # Errors
    /// The gateway has none of them: then the names that it has.
    fn find(self, place: &Place) -> Result<Vec<Deployment>, Failed> {
        let (found, others): (Vec<_>, Vec<_>) =
            self.deployments.into_iter().partition(|one| place.means(one));
        if found.is_empty() {
            return Err(
                format!("the gateway has no deployment at {place}; {}", nearest(place, &others)).into()
            );
        }
        Ok(found)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Deployment {
    provider: String,
    region: String,
    model: String,
    /// Whether it was taken out before.
    #[serde(rename(serialize = "was_cordoned"))]
    cordoned: bool,
}

impl fmt::Display for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.provider, self.region, self.model)
    }
}

/// What came of it.
#[derive(Serialize)]
struct Done {
    cordoned: bool,
    #[serde(rename = "for")]
    lasting: Option<String>,
    deployments: Vec<Deployment>,
    /// What was named, where nothing of that name is configured now.
    #[serde(skip)]
    absent: Option<String>,
}

impl Done {
    fn tell(&self, as_json: bool) -> Result<ExitCode, Failed> {
        if as_json {
            out::result(serde_json::to_string(self)?);
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(absent) = &self.absent {
            out::result(format_args!("uncordoned {absent}, where nothing is configured now"));
        }
        for one in &self.deployments {
            match (self.cordoned, &self.lasting, one.cordoned) {
                (true, Some(lasting), _) => out::result(format_args!("cordoned {one} for {lasting}")),
                (true, None, _) => out::result(format_args!("cordoned {one} until it is uncordoned")),
                (false, _, true) => out::result(format_args!("uncordoned {one}")),
                (false, _, false) => out::result(format_args!("{one} was not cordoned")),
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_name_may_hold_slashes() {
        let place: Place = "openrouter/global/meta-llama/llama-3.3-70b".parse().unwrap();
        assert_eq!(place.model.as_deref(), Some("meta-llama/llama-3.3-70b"));
        assert_eq!(place.to_string(), "openrouter/global/meta-llama/llama-3.3-70b");
        let region: Place = "openai/us-east".parse().unwrap();
        assert_eq!(region.model, None);
        for wrong in ["", "openai", "openai/", "/us-east", "openai/us-east/"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_nearest_names_are_told_first() {
        let at = |region: &str| Deployment {
            provider: "openai".to_owned(),
            region: region.to_owned(),
            model: "gpt-4.1".to_owned(),
            cordoned: false,
        };
        let known = ["ap-south", "eu-west", "us-east", "us-west"].map(at);
        let told = nearest(&"openai/us-esat".parse().unwrap(), &known);
        assert!(told.starts_with("nearest: openai/us-east, openai/us-west"), "{told}");
        let told = nearest(&"openai/us-east/gpt-41".parse().unwrap(), &known);
        assert!(told.starts_with("nearest: openai/us-east/gpt-4.1, "), "{told}");
    }
}
