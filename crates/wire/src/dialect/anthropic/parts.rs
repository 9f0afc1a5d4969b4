//! The content of a message: text, images and files, as blocks.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    body::{Block, Source},
    fields::{At, UNKNOWN, Untranslatable, WRONG_TYPE},
};

/// What a role's content may be made of, beside text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kinds {
    Text,
    TextAndRefusals,
    TextAndImages,
    All,
}

/// Reads a content, a string or a list of parts, to the end of `blocks`.
///
/// Text without a visible character is left out, since Anthropic refuses a block of it: so a content may yield nothing.
pub(super) fn read_content<'a>(
    at: At,
    content: &'a RawValue,
    kinds: Kinds,
    blocks: &mut Vec<Block<'a>>,
) -> Result<(), Untranslatable> {
    if content.get().starts_with('"') {
        push_text(at.text(content)?, blocks);
        return Ok(());
    }
    for part in at.items(content)? {
        read_part(at, part, kinds, blocks)?;
    }
    Ok(())
}

pub(super) fn push_text<'a>(text: Cow<'a, str>, blocks: &mut Vec<Block<'a>>) {
    if !text.trim().is_empty() {
        blocks.push(Block::Text { text });
    }
}

fn read_part<'a>(
    at: At,
    part: &'a RawValue,
    kinds: Kinds,
    blocks: &mut Vec<Block<'a>>,
) -> Result<(), Untranslatable> {
    let fields = at.fields(part)?;
    let kind = at.text(fields.find("type").ok_or_else(|| at.error(WRONG_TYPE))?)?;
    for (name, value) in fields.iter() {
        match name {
            // A place to cache up to: it changes the cost, not the answer.
            "type" | "prompt_cache_breakpoint" => {}
            _ if name == kind => {}
            _ => at.only_empty(value, UNKNOWN)?,
        }
    }
    let value = fields.find(&kind).ok_or_else(|| at.error(WRONG_TYPE))?;
    match (&*kind, kinds) {
        ("text", _) | ("refusal", Kinds::TextAndRefusals) => push_text(at.text(value)?, blocks),
        ("image_url", Kinds::All | Kinds::TextAndImages) => {
            blocks.push(Block::Image { source: image(at, value)? });
        }
        ("file", Kinds::All) => blocks.push(file(at, value)?),
        ("input_audio", _) => return Err(at.error("Anthropic's models hear no audio")),
        _ => return Err(at.error("a content part is of a kind that cannot be sent to Anthropic here")),
    }
    Ok(())
}

/// The media types of Anthropic's base64 images.
const IMAGES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

fn image<'a>(at: At, value: &'a RawValue) -> Result<Source<'a>, Untranslatable> {
    let fields = at.fields(value)?;
    for (name, value) in fields.iter() {
        match name {
            // How closely to look: a wish about the cost, which Anthropic decides by the image's size.
            "url" | "detail" => {}
            _ => at.only_empty(value, UNKNOWN)?,
        }
    }
    let url = at.text(fields.find("url").ok_or_else(|| at.error(WRONG_TYPE))?)?;
    if has_scheme(&url, "data:") {
        return base64(url, &IMAGES).ok_or_else(|| {
            at.error("an image's data must be base64 of a JPEG, PNG, GIF or WebP with its media type")
        });
    }
    if has_scheme(&url, "https://") {
        return Ok(Source::Url { url });
    }
    Err(at.error("Anthropic fetches images over https only"))
}

fn file<'a>(at: At, value: &'a RawValue) -> Result<Block<'a>, Untranslatable> {
    let fields = at.fields(value)?;
    let (mut data, mut title) = (None, None);
    for (name, value) in fields.iter() {
        match name {
            "file_data" => data = Some(at.text(value)?),
            "filename" => title = Some(at.text(value)?).filter(|title| !title.trim().is_empty()),
            "file_id" => {
                at.only_empty(value, "a file that was uploaded to one provider is not known to another")?;
            }
            _ => at.only_empty(value, UNKNOWN)?,
        }
    }
    let source = data.and_then(|data| base64(data, &["application/pdf"])).ok_or_else(|| {
        at.error("a file must be a PDF, as a data URL in base64 with the media type `application/pdf`")
    })?;
    Ok(Block::Document { source, title })
}

fn has_scheme(url: &str, scheme: &str) -> bool {
    url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

/// The content of a data URL (RFC 2397) in base64 of one of these media types.
fn base64<'a>(url: Cow<'a, str>, types: &[&'static str]) -> Option<Source<'a>> {
    let rest = url.get("data:".len()..).filter(|_| has_scheme(&url, "data:"))?;
    let (head, data) = rest.split_once(',')?;
    let (media_type, parameters) = head.split_once(';')?;
    let last = parameters.rsplit(';').next()?;
    if !last.eq_ignore_ascii_case("base64") || data.is_empty() {
        return None;
    }
    let media_type = types.iter().copied().find(|known| media_type.eq_ignore_ascii_case(known))?;
    let start = url.len() - data.len();
    let data = match url {
        Cow::Borrowed(url) => Cow::Borrowed(url.get(start..)?),
        Cow::Owned(mut url) => Cow::Owned(url.split_off(start)),
    };
    Some(Source::Base64 { media_type, data })
}
