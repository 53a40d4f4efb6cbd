//! SPA-JSON, PipeWire's relaxed JSON: quotes are optional, `=` stands for `:`, commas may be left out, `#` comments.

use std::fmt;

use serde_json::{Map, Value};

/// How deep values may be nested.
const MAX_DEPTH: u32 = 16;

/// Why a text is not SPA-JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SpaJsonError {
    /// The text ended in the middle of a value.
    Unfinished,
    /// A character that does not belong there, at this byte.
    Unexpected(char, usize),
    /// Nested too deep.
    Depth,
}

impl fmt::Display for SpaJsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfinished => f.write_str("the text ends in the middle of a value"),
            Self::Unexpected(c, at) => write!(f, "unexpected {c:?} at byte {at}"),
            Self::Depth => write!(f, "nested deeper than {MAX_DEPTH}"),
        }
    }
}

impl std::error::Error for SpaJsonError {}

/// Reads the members of an object, with or without the braces around it.
pub(crate) fn parse_object(text: &str) -> Result<Map<String, Value>, SpaJsonError> {
    let mut reader = Reader { text, at: 0 };
    reader.skip_blanks();
    let braced = reader.peek() == Some('{');
    if braced {
        reader.at += 1;
    }
    let members = reader.members(braced, 0)?;
    reader.skip_blanks();
    match reader.peek() {
        None => Ok(members),
        Some(c) => Err(SpaJsonError::Unexpected(c, reader.at)),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn skip_blanks(&mut self) {
        while let Some(c) = self.peek() {
            match c {
                '#' => {
                    let rest = self.text.get(self.at..).unwrap_or_default();
                    self.at += rest.find('\n').unwrap_or(rest.len());
                }
                c if c.is_whitespace() || matches!(c, ',' | ':' | '=') => self.at += c.len_utf8(),
                _ => return,
            }
        }
    }

    fn members(&mut self, braced: bool, depth: u32) -> Result<Map<String, Value>, SpaJsonError> {
        if depth > MAX_DEPTH {
            return Err(SpaJsonError::Depth);
        }
        let mut map = Map::new();
        loop {
            self.skip_blanks();
            match self.peek() {
                None if braced => return Err(SpaJsonError::Unfinished),
                None => return Ok(map),
                Some('}') if braced => {
                    self.at += 1;
                    return Ok(map);
                }
                Some(c @ ('}' | ']' | '{' | '[')) => return Err(SpaJsonError::Unexpected(c, self.at)),
                Some(_) => {}
            }
            let (key, _) = self.word()?;
            self.skip_blanks();
            let value = self.value(depth + 1)?;
            map.insert(key, value);
        }
    }

    fn value(&mut self, depth: u32) -> Result<Value, SpaJsonError> {
        if depth > MAX_DEPTH {
            return Err(SpaJsonError::Depth);
        }
        match self.peek() {
            None => Err(SpaJsonError::Unfinished),
            Some('{') => {
                self.at += 1;
                self.members(true, depth + 1).map(Value::Object)
            }
            Some('[') => {
                self.at += 1;
                let mut items = Vec::new();
                loop {
                    self.skip_blanks();
                    match self.peek() {
                        None => return Err(SpaJsonError::Unfinished),
                        Some(']') => {
                            self.at += 1;
                            return Ok(Value::Array(items));
                        }
                        Some(_) => items.push(self.value(depth + 1)?),
                    }
                }
            }
            Some(c @ ('}' | ']')) => Err(SpaJsonError::Unexpected(c, self.at)),
            Some(_) => {
                let (text, quoted) = self.word()?;
                Ok(if quoted { Value::String(text) } else { bare(text) })
            }
        }
    }

    /// One word, and whether it was quoted.
    fn word(&mut self) -> Result<(String, bool), SpaJsonError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if !rest.starts_with('"') {
            let end = rest
                .find(|c: char| {
                    c.is_whitespace() || matches!(c, ',' | ':' | '=' | '{' | '}' | '[' | ']' | '#' | '"')
                })
                .unwrap_or(rest.len());
            if end == 0 {
                return Err(SpaJsonError::Unexpected(rest.chars().next().unwrap_or(' '), self.at));
            }
            self.at += end;
            return Ok((rest.get(..end).unwrap_or_default().to_owned(), false));
        }
        // A quoted word is a JSON string: let the JSON parser undo its escapes.
        let mut escaped = false;
        for (position, c) in rest.char_indices().skip(1) {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => {
                    let literal = rest.get(..=position).unwrap_or_default();
                    self.at += position + 1;
                    // PipeWire takes raw control characters in strings, JSON does not.
                    let clean: String =
                        literal.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
                    return serde_json::from_str(&clean)
                        .map(|text| (text, true))
                        .map_err(|_| SpaJsonError::Unexpected('\\', self.at));
                }
                _ => {}
            }
        }
        Err(SpaJsonError::Unfinished)
    }
}

/// An unquoted word: a number, a truth value, or text.
fn bare(text: String) -> Value {
    match text.as_str() {
        "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => match serde_json::from_str::<serde_json::Number>(&text) {
            Ok(number) => Value::Number(number),
            Err(_) => Value::String(text),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn relaxed_and_strict_spellings_mean_the_same() {
        let strict =
            json!({"a.b": 1, "list": ["x", 2, {"y": true}], "text": "a \"b\" # c", "ip": "239.69.1.1"});
        for text in [
            strict.to_string(),
            "a.b = 1 list = [ x 2 { y = true } ] text = \"a \\\"b\\\" # c\" # end\n ip = 239.69.1.1"
                .to_owned(),
            "{ a.b: 1, list: [x, 2, {y: true}], text: \"a \\\"b\\\" # c\", ip: \"239.69.1.1\" }".to_owned(),
        ] {
            assert_eq!(parse_object(&text).map(Value::Object).as_ref(), Ok(&strict), "{text}");
        }
    }

    #[test]
    fn broken_texts_are_refused_in_words() {
        for (text, why) in [
            ("{ a = ", "the text ends in the middle of a value"),
            ("a = }", "unexpected '}' at byte 4"),
            ("{ a = 1 } b", "unexpected 'b' at byte 10"),
            ("a = [ 1", "the text ends in the middle of a value"),
            ("a = \"x", "the text ends in the middle of a value"),
        ] {
            assert_eq!(parse_object(text).expect_err(text).to_string(), why);
        }
        let deep = format!("a = {}", "[".repeat(10_000));
        assert_eq!(parse_object(&deep), Err(SpaJsonError::Depth));
    }
}
