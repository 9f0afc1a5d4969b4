//! Whom LiteLLM means by a prefix: `groq/llama3` is the model `llama3` of Groq.
//!
//! Sources: LiteLLM's pages on its providers (docs.litellm.ai/docs/providers) and its table of OpenAI-like servers
//! (`litellm/llms/openai_like/providers.json` of 1.109), for prefixes, base URLs and names of variables.

/// A provider that LiteLLM knows and that can be served here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Vendor {
    /// The prefixes of its models.
    prefixes: &'static [&'static str],
    /// What the provider is called here.
    pub(super) name: &'static str,
    /// How its requests look.
    pub(super) speaks: Speaks,
    /// Where it is, when the file does not say.
    pub(super) home: Home,
    /// The variable that holds its key, when the file does not say; empty where none is needed.
    pub(super) key: &'static str,
}

/// The form of an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Speaks {
    OpenAi,
    Azure,
    Anthropic,
}

impl Speaks {
    /// The dialect's name in a file.
    pub(super) const fn dialect(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Azure => "azure",
            Self::Anthropic => "anthropic",
        }
    }
}

/// Where a provider is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// At the hosts of this preset.
    Preset(&'static str),
    /// At this URL.
    At(&'static str),
    /// The file must say; an `api_base` gets this path appended when it has none.
    Anywhere(&'static str),
}

use Home::{Anywhere, At, Preset};
use Speaks::{Anthropic, Azure, OpenAi};

const fn vendor(
    prefixes: &'static [&'static str],
    name: &'static str,
    speaks: Speaks,
    home: Home,
    key: &'static str,
) -> Vendor {
    Vendor { prefixes, name, speaks, home, key }
}

static VENDORS: [Vendor; 21] = [
    vendor(&["openai", "text-completion-openai"], "openai", OpenAi, Preset("openai"), "OPENAI_API_KEY"),
    vendor(&["azure", "azure_text"], "azure", Azure, Anywhere(""), "AZURE_API_KEY"),
    vendor(&["anthropic"], "anthropic", Anthropic, Preset("anthropic"), "ANTHROPIC_API_KEY"),
    vendor(&["mistral", "codestral"], "mistral", OpenAi, Preset("mistral"), "MISTRAL_API_KEY"),
    vendor(&["groq"], "groq", OpenAi, Preset("groq"), "GROQ_API_KEY"),
    vendor(&["deepseek"], "deepseek", OpenAi, Preset("deepseek"), "DEEPSEEK_API_KEY"),
    vendor(&["together_ai"], "together", OpenAi, Preset("together"), "TOGETHERAI_API_KEY"),
    vendor(&["openrouter"], "openrouter", OpenAi, Preset("openrouter"), "OPENROUTER_API_KEY"),
    vendor(&["gemini"], "gemini", OpenAi, Preset("gemini"), "GEMINI_API_KEY"),
    vendor(&["xai"], "xai", OpenAi, At("https://api.x.ai/v1"), "XAI_API_KEY"),
    vendor(&["perplexity"], "perplexity", OpenAi, At("https://api.perplexity.ai"), "PERPLEXITYAI_API_KEY"),
    vendor(
        &["fireworks_ai"],
        "fireworks",
        OpenAi,
        At("https://api.fireworks.ai/inference/v1"),
        "FIREWORKS_AI_API_KEY",
    ),
    vendor(
        &["deepinfra"],
        "deepinfra",
        OpenAi,
        At("https://api.deepinfra.com/v1/openai"),
        "DEEPINFRA_API_KEY",
    ),
    vendor(
        &["nvidia_nim"],
        "nvidia",
        OpenAi,
        At("https://integrate.api.nvidia.com/v1"),
        "NVIDIA_NIM_API_KEY",
    ),
    vendor(&["cerebras"], "cerebras", OpenAi, At("https://api.cerebras.ai/v1"), "CEREBRAS_API_KEY"),
    vendor(&["sambanova"], "sambanova", OpenAi, At("https://api.sambanova.ai/v1"), "SAMBANOVA_API_KEY"),
    vendor(&["ollama", "ollama_chat"], "ollama", OpenAi, At("http://localhost:11434/v1"), ""),
    vendor(&["hosted_vllm", "vllm"], "vllm", OpenAi, Anywhere(""), ""),
    vendor(&["lm_studio"], "lm-studio", OpenAi, Anywhere(""), ""),
    vendor(&["llamafile"], "llamafile", OpenAi, At("http://127.0.0.1:8080/v1"), ""),
    vendor(
        &["openai_like", "custom_openai", "litellm_proxy", "xinference"],
        "server",
        OpenAi,
        Anywhere(""),
        "",
    ),
];

/// Prefixes of those whose requests have a form, or signatures, that are not written here.
const FOREIGN: [&str; 22] = [
    "ai21",
    "aleph_alpha",
    "azure_ai",
    "baseten",
    "bedrock",
    "bedrock_converse",
    "cloudflare",
    "cohere",
    "cohere_chat",
    "databricks",
    "github_copilot",
    "huggingface",
    "nlp_cloud",
    "oci",
    "palm",
    "petals",
    "predibase",
    "replicate",
    "sagemaker",
    "sagemaker_chat",
    "vertex_ai",
    "watsonx",
];

/// Whom a model is of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Whose<'m> {
    /// A provider that is known, and its own name of the model.
    Known(&'static Vendor, &'m str),
    /// One that cannot be served: its prefix.
    Foreign(&'m str),
    /// Nobody known: the whole name.
    Nobody(&'m str),
}

/// Reads a model's name; `said` is the provider where the file names it apart.
pub(super) fn whose<'m>(model: &'m str, said: Option<&'m str>) -> Whose<'m> {
    let (prefix, rest) = match (said, model.split_once('/')) {
        (Some(said), Some((prefix, rest))) if prefix == said => (said, rest),
        (Some(said), _) => (said, model),
        (None, Some((prefix, rest))) => (prefix, rest),
        (None, None) if model.starts_with("claude") => ("anthropic", model),
        (None, None) if model.starts_with("command") => ("cohere", model),
        (None, None) => ("openai", model),
    };
    if FOREIGN.contains(&prefix) {
        return Whose::Foreign(prefix);
    }
    let known = VENDORS.iter().find(|vendor| vendor.prefixes.contains(&prefix));
    known.map_or(Whose::Nobody(model), |vendor| Whose::Known(vendor, rest))
}

/// The one for a server that nothing is known of but its URL.
pub(super) fn server() -> &'static Vendor {
    let [.., last] = &VENDORS;
    last
}

#[cfg(test)]
mod tests {
    use outrigger::config::Preset as Hosts;

    use super::*;

    #[test]
    fn a_prefix_says_whose_a_model_is() {
        let name = |model, said| match whose(model, said) {
            Whose::Known(vendor, model) => format!("{} {model}", vendor.name),
            Whose::Foreign(prefix) => format!("foreign {prefix}"),
            Whose::Nobody(model) => format!("nobody {model}"),
        };
        for (model, said, expected) in [
            ("gpt-4.1", None, "openai gpt-4.1"),
            ("openai/facebook/opt-125m", None, "openai facebook/opt-125m"),
            ("azure/my-deployment", None, "azure my-deployment"),
            ("claude-sonnet-4-5", None, "anthropic claude-sonnet-4-5"),
            ("openrouter/openai/gpt-4.1", None, "openrouter openai/gpt-4.1"),
            ("llama3", Some("groq"), "groq llama3"),
            ("groq/llama3", Some("groq"), "groq llama3"),
            ("bedrock/anthropic.claude", None, "foreign bedrock"),
            ("mistralai/mistral-7b", None, "nobody mistralai/mistral-7b"),
        ] {
            assert_eq!(name(model, said), expected, "{model}");
        }
    }

    #[test]
    fn each_preset_is_one() {
        for vendor in &VENDORS {
            if let Preset(name) = vendor.home {
                assert_eq!(Hosts::named(name).unwrap().dialect().as_str(), vendor.speaks.dialect(), "{name}");
            }
        }
    }
}
