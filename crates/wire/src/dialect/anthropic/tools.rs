//! Tools, and which of them the model may or must call.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    body::{Object, Tool, ToolChoice},
    fields::{At, UNKNOWN, Untranslatable, WRONG_TYPE},
};
use crate::loose::Filled;

/// Anthropic's rule for a tool's name: letters, digits, `_` and `-`, 1 to 128 of them.
pub(super) fn check_name(at: At, name: &str) -> Result<(), Untranslatable> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if (1..=128).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(());
    }
    Err(at.error("a tool's name must be 1 to 128 letters, digits, `_` and `-`"))
}

pub(super) fn read_tools<'a>(at: At, tools: &'a RawValue) -> Result<Vec<Tool<'a>>, Untranslatable> {
    at.items(tools)?.into_iter().enumerate().map(|(index, tool)| read_tool(at.item(index), tool)).collect()
}

fn read_tool<'a>(at: At, tool: &'a RawValue) -> Result<Tool<'a>, Untranslatable> {
    let mut function = None;
    for (name, value) in at.fields(tool)?.iter() {
        match name {
            "type" if at.text(value)? == "function" => {}
            "type" => return Err(at.error("Anthropic knows no tools with free text as input")),
            "function" => function = Some(at.fields(value)?),
            _ => at.only_empty(value, UNKNOWN)?,
        }
    }
    let function = function.ok_or_else(|| at.error(WRONG_TYPE))?;
    let (mut name, mut description, mut input_schema, mut strict) = (None, None, Object::EmptySchema, None);
    for (field, value) in function.iter() {
        match field {
            "name" => name = Some(at.text(value)?),
            "description" => description = Some(at.text(value)?).filter(|text| !text.is_empty()),
            "parameters" => input_schema = schema(at, value)?,
            "strict" => strict = Some(at.read(value)?).filter(|strict| *strict),
            _ => at.only_empty(value, UNKNOWN)?,
        }
    }
    let name = name.ok_or_else(|| at.error(WRONG_TYPE))?;
    check_name(at, &name)?;
    Ok(Tool { name, description, input_schema, strict })
}

/// The head of a schema; all below it is passed on unread.
#[derive(Deserialize)]
struct SchemaHead<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(default, rename = "oneOf")]
    one_of: Filled,
    #[serde(default, rename = "allOf")]
    all_of: Filled,
    #[serde(default, rename = "anyOf")]
    any_of: Filled,
}

fn schema<'a>(at: At, value: &'a RawValue) -> Result<Object<'a>, Untranslatable> {
    if !value.get().starts_with('{') {
        return Err(at.error(WRONG_TYPE));
    }
    let head: SchemaHead<'_> = at.read(value)?;
    if !at.read::<Filled>(value)?.0 {
        return Ok(Object::EmptySchema);
    }
    let is_object = match head.kind {
        Some(kind) => at.text(kind)? == "object",
        None => false,
    };
    if !is_object || head.one_of.0 || head.all_of.0 || head.any_of.0 {
        return Err(at.error("Anthropic takes only schemas of type `object` without a choice at their top"));
    }
    Ok(Object::Borrowed(value))
}

/// What a request says of the choice among its tools.
#[derive(Debug, Default)]
pub(super) struct Wish<'a> {
    pub choice: Option<&'a RawValue>,
    /// `parallel_tool_calls` is false.
    pub one_at_a_time: bool,
}

impl<'a> Wish<'a> {
    pub(super) fn read(self, tools: &[Tool<'a>]) -> Result<Option<ToolChoice<'a>>, Untranslatable> {
        let at = At::new("tool_choice");
        let disable_parallel_tool_use = self.one_at_a_time;
        let word = match self.choice {
            None => Cow::Borrowed("auto"),
            Some(choice) if choice.get().starts_with('"') => at.text(choice)?,
            Some(choice) => {
                let name = named(at, choice)?;
                if tools.iter().all(|tool| tool.name != name) {
                    return Err(at.error("no tool of the request bears this name"));
                }
                return Ok(Some(ToolChoice::Tool { name, disable_parallel_tool_use }));
            }
        };
        match &*word {
            "auto" | "none" if tools.is_empty() => Ok(None),
            "auto" if !disable_parallel_tool_use => Ok(None),
            "auto" => Ok(Some(ToolChoice::Auto { disable_parallel_tool_use })),
            "none" => Ok(Some(ToolChoice::None)),
            "required" if !tools.is_empty() => Ok(Some(ToolChoice::Any { disable_parallel_tool_use })),
            "required" => Err(at.error("the request has no tools to choose from")),
            _ => Err(at.error(WRONG_TYPE)),
        }
    }
}

fn named<'a>(at: At, choice: &'a RawValue) -> Result<Cow<'a, str>, Untranslatable> {
    let fields = at.fields(choice)?;
    let mut function = None;
    for (name, value) in fields.iter() {
        match name {
            "type" if at.text(value)? == "function" => {}
            "type" => return Err(at.error("Anthropic can be told one tool, any or none, not a list")),
            "function" => function = Some(at.fields(value)?),
            _ => at.only_empty(value, UNKNOWN)?,
        }
    }
    let name = function.and_then(|function| function.find("name")).ok_or_else(|| at.error(WRONG_TYPE))?;
    at.text(name)
}
