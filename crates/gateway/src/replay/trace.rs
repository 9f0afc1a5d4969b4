//! A trace: JSON Lines of what attempts came to and of what was asked for, each with its time. No prompt, no key.
//!
//! `{"at_ms","provider","region","model","class","ttft_ms"?,"answer_ms"?,"retry_after_ms"?,"stream"?}` is the end of an attempt,
//! `{"at_ms","pick":"MODEL","region"?}` the beginning of a call, `{"at_ms","cordon":"out","provider","region","model"?}` an operator's word:
//! `out`, `back` or `over` (a cordon ended by itself); `none`, without a place: whatever was out is not any more, since a gateway began.
//! Lines may stand in any order: their times count. A name that is not known is a fault and not ignored, since a word that is misspelt
//! would change what the trace says.

use std::time::Duration;

use outrigger::{CordonWord, wire::Class};
use serde::{Deserialize, Serialize};
use serde_json::Number;

/// No trace begins later (the year 5138), so that sums of times stay in range.
const LATEST_MS: f64 = 1e14;

/// What a line says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Line {
    /// An attempt ended.
    Ended(Ended),
    /// A call began.
    Pick(Pick),
    /// An operator spoke.
    Cordon(Cordon),
}

/// An operator's word on what bears a name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cordon {
    pub(crate) at_ms: f64,
    /// None: nothing is out.
    pub(crate) said: Option<Said>,
}

/// What was said of which name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Said {
    pub(crate) word: CordonWord,
    pub(crate) provider: String,
    pub(crate) region: String,
    pub(crate) model: Option<String>,
}

/// The end of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ended {
    pub(crate) at_ms: f64,
    pub(crate) provider: String,
    pub(crate) region: String,
    /// The provider's name of it.
    pub(crate) model: String,
    /// How it failed; absent when it succeeded.
    pub(crate) class: Option<Class>,
    /// From its start to its first content.
    pub(crate) ttft_ms: Option<f64>,
    /// From its start to its end.
    pub(crate) answer_ms: Option<f64>,
    /// The wait that the provider asked for.
    pub(crate) retry_after_ms: Option<f64>,
    /// Whether a stream was asked for.
    pub(crate) stream: bool,
}

impl Ended {
    /// From its start to its end, as far as the line says.
    pub(crate) fn took_ms(&self) -> f64 {
        self.answer_ms.or(self.ttft_ms).unwrap_or(0.0)
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.retry_after_ms.map(millis)
    }

    /// Its class by name, or `success`.
    pub(crate) fn class_name(&self) -> &'static str {
        self.class.map_or(SUCCESS, Class::as_str)
    }
}

/// The beginning of a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pick {
    pub(crate) at_ms: f64,
    /// The public model.
    pub(crate) model: String,
    /// Where its caller asked to be near to.
    pub(crate) region: Option<String>,
}

/// What a class is called that is none.
const SUCCESS: &str = "success";

/// A line as it stands in the file.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written {
    at_ms: Option<Number>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pick: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cordon: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttft_ms: Option<Number>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer_ms: Option<Number>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<Number>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
}

/// What is wrong with a line, and in which column, where that is known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) column: Option<usize>,
    pub(crate) what: String,
}

impl From<String> for Malformed {
    fn from(what: String) -> Self {
        Self { column: None, what }
    }
}

impl Line {
    /// Reads one line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, Malformed> {
        let written: Written = serde_json::from_str(text).map_err(|error| {
            let told = error.to_string();
            // The line is told with the file's name; serde_json knows of one line only.
            let what = told.split(" at line ").next().unwrap_or_default().to_owned();
            Malformed { column: Some(error.column()), what }
        })?;
        written.understand().map_err(Malformed::from)
    }

    pub(crate) fn at_ms(&self) -> f64 {
        match self {
            Self::Ended(ended) => ended.at_ms,
            Self::Pick(pick) => pick.at_ms,
            Self::Cordon(cordon) => cordon.at_ms,
        }
    }

    /// The line, without its end.
    pub(crate) fn write(&self) -> String {
        let written = match self {
            Self::Ended(ended) => Written {
                at_ms: Some(number(ended.at_ms)),
                provider: Some(ended.provider.clone()),
                region: Some(ended.region.clone()),
                model: Some(ended.model.clone()),
                class: Some(ended.class_name().to_owned()),
                ttft_ms: ended.ttft_ms.map(number),
                answer_ms: ended.answer_ms.map(number),
                retry_after_ms: ended.retry_after_ms.map(number),
                // A time to first content says it already.
                stream: ended.ttft_ms.is_none().then_some(ended.stream).filter(|stream| *stream),
                pick: None,
                cordon: None,
            },
            Self::Cordon(cordon) => cordon.written(),
            Self::Pick(pick) => Written {
                at_ms: Some(number(pick.at_ms)),
                pick: Some(pick.model.clone()),
                region: pick.region.clone(),
                ..Written::default()
            },
        };
        serde_json::to_string(&written).unwrap_or_default()
    }
}

impl Cordon {
    /// The name of a word that takes all others back.
    const NONE: &str = "none";

    pub(crate) fn word(&self) -> &'static str {
        self.said.as_ref().map_or(Self::NONE, |said| said.word.as_str())
    }

    fn written(&self) -> Written {
        let said = self.said.as_ref();
        Written {
            at_ms: Some(number(self.at_ms)),
            cordon: Some(self.word().to_owned()),
            provider: said.map(|said| said.provider.clone()),
            region: said.map(|said| said.region.clone()),
            model: said.and_then(|said| said.model.clone()),
            ..Written::default()
        }
    }
}

impl Written {
    /// Which of these names is there, though it says nothing in a line of this kind.
    fn must_lack(&self, kind: &str, names: &[&str]) -> Result<(), String> {
        let is_there = [
            ("provider", self.provider.is_some()),
            ("region", self.region.is_some()),
            ("model", self.model.is_some()),
            ("class", self.class.is_some()),
            ("ttft_ms", self.ttft_ms.is_some()),
            ("answer_ms", self.answer_ms.is_some()),
            ("retry_after_ms", self.retry_after_ms.is_some()),
            ("stream", self.stream.is_some()),
            ("pick", self.pick.is_some()),
        ];
        match is_there.iter().find(|(name, is_there)| *is_there && names.contains(name)) {
            Some((name, _)) => Err(format!("a {kind} has no `{name}`")),
            None => Ok(()),
        }
    }

    /// An operator's word.
    fn cordon(self, at_ms: f64, word: &str) -> Result<Line, String> {
        self.must_lack("cordon", &["class", "ttft_ms", "answer_ms", "retry_after_ms", "stream", "pick"])?;
        if word == Cordon::NONE {
            self.must_lack("cordon of none", &["provider", "region", "model"])?;
            return Ok(Line::Cordon(Cordon { at_ms, said: None }));
        }
        let word = CordonWord::ALL.into_iter().find(|known| known.as_str() == word);
        let word = word.ok_or("`cordon` is one of out, back, over, none")?;
        let named = |name: &str, value: Option<String>| {
            value.filter(|value| !value.is_empty()).ok_or_else(|| format!("a cordon needs a `{name}`"))
        };
        let (provider, region) = (named("provider", self.provider)?, named("region", self.region)?);
        Ok(Line::Cordon(Cordon { at_ms, said: Some(Said { word, provider, region, model: self.model }) }))
    }

    fn understand(mut self) -> Result<Line, String> {
        let at_ms = time("at_ms", self.at_ms.take())?.ok_or("`at_ms` is missing")?;
        if let Some(word) = self.cordon.take() {
            return self.cordon(at_ms, &word);
        }
        if let Some(model) = self.pick.take() {
            self.must_lack(
                "pick",
                &["provider", "model", "class", "ttft_ms", "answer_ms", "retry_after_ms", "stream"],
            )?;
            return Ok(Line::Pick(Pick { at_ms, model, region: self.region }));
        }
        let named = |name: &str, value: Option<String>| {
            value.filter(|value| !value.is_empty()).ok_or_else(|| {
                format!(
                    "`{name}` is missing: a line has `pick`, or `provider`, `region`, `model` and `class`"
                )
            })
        };
        let class = named("class", self.class)?;
        let class = match class.as_str() {
            SUCCESS => None,
            name => Some(name.parse::<Class>().map_err(|_| unknown_class(name))?),
        };
        let (ttft_ms, answer_ms) = (time("ttft_ms", self.ttft_ms)?, time("answer_ms", self.answer_ms)?);
        if let (Some(first), Some(whole)) = (ttft_ms, answer_ms)
            && first > whole
        {
            return Err(format!("`ttft_ms` ({first}) is above `answer_ms` ({whole})"));
        }
        Ok(Line::Ended(Ended {
            at_ms,
            provider: named("provider", self.provider)?,
            region: named("region", self.region)?,
            model: named("model", self.model)?,
            class,
            ttft_ms,
            answer_ms,
            retry_after_ms: time("retry_after_ms", self.retry_after_ms)?,
            stream: self.stream.unwrap_or_else(|| ttft_ms.is_some()),
        }))
    }
}

fn unknown_class(name: &str) -> String {
    let known: Vec<&str> = std::iter::once(SUCCESS).chain(Class::ALL.map(Class::as_str)).collect();
    format!("`class` is `{name}`; it is one of {}", known.join(", "))
}

fn time(name: &str, value: Option<Number>) -> Result<Option<f64>, String> {
    let Some(value) = value else { return Ok(None) };
    match value.as_f64() {
        Some(ms) if (0.0..=LATEST_MS).contains(&ms) => Ok(Some(ms)),
        _ => Err(format!("`{name}` is {value}; it must be milliseconds, 0 to {LATEST_MS:e}")),
    }
}

/// Milliseconds with three digits behind the point, and none where there are none.
pub(crate) fn number(ms: f64) -> Number {
    let rounded = (ms * 1e3).round() / 1e3;
    let text = format!("{rounded}");
    // A whole number is written as one: `Display` of a float leaves its point out.
    text.parse().ok().or_else(|| Number::from_f64(rounded)).unwrap_or_else(|| Number::from(0))
}

/// A duration of so many milliseconds. Any number that a line may have fits.
pub(crate) fn millis(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDED: &str = r#"{"at_ms":12.5,"provider":"a","region":"here","model":"m","class":"rate_limited","answer_ms":3,"retry_after_ms":2000}"#;

    #[test]
    fn a_line_is_written_as_it_is_read() {
        for text in [
            ENDED,
            r#"{"at_ms":1732622400123.457,"pick":"chat","region":"eu-west"}"#,
            r#"{"at_ms":0,"pick":"chat"}"#,
            r#"{"at_ms":5,"cordon":"out","provider":"a","region":"b"}"#,
            r#"{"at_ms":6,"cordon":"back","provider":"a","region":"b","model":"c/d"}"#,
            r#"{"at_ms":7,"cordon":"over","provider":"a","region":"b"}"#,
            r#"{"at_ms":8,"cordon":"none"}"#,
            r#"{"at_ms":900,"provider":"a","region":"b","model":"c/d","class":"success","ttft_ms":150.25,"answer_ms":800}"#,
            r#"{"at_ms":900,"provider":"a","region":"b","model":"c","class":"timeout","answer_ms":1000,"stream":true}"#,
        ] {
            assert_eq!(Line::parse(text).unwrap().write(), text);
        }
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said() {
        let without = |name: &str, with: &str| ENDED.replace(name, with);
        for (text, what) in [
            ("{\"at_ms\":1", "EOF"),
            ("[]", "expected"),
            ("{\"pick\":\"chat\"}", "`at_ms` is missing"),
            ("{\"at_ms\":-1,\"pick\":\"chat\"}", "`at_ms` is -1"),
            ("{\"at_ms\":1e300,\"pick\":\"chat\"}", "`at_ms` is 1e+300"),
            ("{\"at_ms\":1,\"pick\":\"chat\",\"class\":\"success\"}", "a pick has no `class`"),
            ("{\"at_ms\":1,\"pick\":\"chat\",\"regoin\":\"x\"}", "unknown field `regoin`"),
            ("{\"at_ms\":1,\"cordon\":\"off\",\"provider\":\"a\",\"region\":\"b\"}", "one of out, back"),
            ("{\"at_ms\":1,\"cordon\":\"out\",\"provider\":\"a\"}", "a cordon needs a `region`"),
            ("{\"at_ms\":1,\"cordon\":\"none\",\"region\":\"b\"}", "a cordon of none has no `region`"),
            ("{\"at_ms\":1,\"cordon\":\"out\",\"pick\":\"chat\"}", "a cordon has no `pick`"),
            (&without("\"rate_limited\"", "\"rate-limited\""), "one of success, transient"),
            (&without("\"region\":\"here\",", ""), "`region` is missing"),
            (&without("\"model\":\"m\"", "\"model\":\"\""), "`model` is missing"),
            (
                &without("\"answer_ms\":3", "\"answer_ms\":3,\"ttft_ms\":4"),
                "`ttft_ms` (4) is above `answer_ms` (3)",
            ),
        ] {
            let told = Line::parse(text).unwrap_err();
            assert!(told.what.contains(what), "{text}: {told:?}");
        }
        let told = Line::parse("{\"at_ms\":1,}").unwrap_err();
        assert_eq!(told.column, Some(12), "{told:?}");
    }
}
