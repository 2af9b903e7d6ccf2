//! The schema that a worker's entrypoint gives for its input: runs whose input does not fit are refused.

use jsonschema::{
    Validator,
    paths::{Location, LocationSegment},
};
use serde_json::value::RawValue;
use weft_worker::InvalidArgument;

/// Most violations of a schema that a caller is told of at once.
const MAX_VIOLATIONS: usize = 20;

/// What is checked before a run is recorded.
///
/// # Errors
/// The rest of a sentence that begins with the schema, if it is none.
pub(super) fn check(
    schema: &RawValue,
) -> Result<impl Fn(&RawValue, &RawValue) -> Vec<InvalidArgument> + Send + Sync + use<>, String> {
    let none = |why: String| format!("is no JSON Schema: {why}");
    let schema = serde_json::from_str(schema.get()).map_err(|error| none(error.to_string()))?;
    // What a worker names as elsewhere is not fetched.
    let validator = jsonschema::options().offline().build(&schema);
    let validator = validator.map_err(|error| {
        let place = error.instance_path().as_str();
        none(match place {
            "" => error.to_string(),
            place => format!("{error}, at `{place}`"),
        })
    })?;
    Ok(move |input: &RawValue, _: &RawValue| violations(&validator, input))
}

fn violations(validator: &Validator, input: &RawValue) -> Vec<InvalidArgument> {
    let input = match serde_json::from_str(input.get()) {
        Ok(input) => input,
        Err(error) => {
            let what = format!("cannot be compared with its schema: {error}");
            return vec![InvalidArgument::new("input", what)];
        }
    };
    let errors = validator.iter_errors(&input).take(MAX_VIOLATIONS);
    errors
        .map(|error| {
            // Without the value, which may be long and is the caller's own.
            let what = error.masked_with("it");
            let rule = error.schema_path();
            InvalidArgument::new(
                path(error.instance_path()),
                format!("breaks the rule `{rule}` of its schema: {what}"),
            )
        })
        .collect()
}

/// The place as it is written in the answers to all bad requests, e.g. `input[0].role`.
fn path(place: &Location) -> String {
    let mut path = "input".to_owned();
    for segment in place {
        match segment {
            LocationSegment::Property(name) => {
                path.push('.');
                path.push_str(&name);
            }
            LocationSegment::Index(index) => path.push_str(&format!("[{index}]")),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn raw(value: &serde_json::Value) -> Box<RawValue> {
        serde_json::value::to_raw_value(value).unwrap()
    }

    fn wrong(schema: &serde_json::Value, input: &serde_json::Value) -> Vec<InvalidArgument> {
        let check = check(&raw(schema)).unwrap();
        check(&raw(input), &raw(&json!({})))
    }

    #[test]
    fn each_place_that_does_not_fit_is_named_with_its_rule() {
        let schema = json!({
            "type": "object",
            "required": ["city"],
            "properties": {
                "stops": {"type": "array", "items": {"$ref": "#/$defs/stop"}}
            },
            "$defs": {"stop": {"type": "object", "properties": {"days": {"minimum": 1}}}}
        });
        let input = json!({"stops": [{"days": 2}, {"days": 0}]});
        let wrong = wrong(&schema, &input);
        assert_eq!(
            wrong,
            [
                InvalidArgument::new(
                    "input",
                    "breaks the rule `/required` of its schema: \"city\" is a required property"
                ),
                InvalidArgument::new(
                    "input.stops[1].days",
                    "breaks the rule `/$defs/stop/properties/days/minimum` of its schema: \
                     it is less than the minimum of 1"
                ),
            ]
        );
    }

    #[test]
    fn what_fits_and_a_schema_that_takes_anything_are_not_complained_of() {
        let schema = json!({"type": "integer"});
        assert_eq!(wrong(&schema, &json!(7)), []);
        for anything in [json!(true), json!({})] {
            assert_eq!(wrong(&anything, &json!({"a": [null]})), []);
        }
    }

    #[test]
    fn complaints_do_not_repeat_the_input_and_have_an_end() {
        let schema = json!({"items": {"type": "integer"}});
        let input = json!(vec!["x".repeat(1000); 1000]);
        let wrong = wrong(&schema, &input);
        assert_eq!(wrong.len(), MAX_VIOLATIONS);
        assert!(wrong.iter().all(|wrong| wrong.description.len() < 100));
    }

    #[test]
    fn a_schema_that_is_none_is_refused_and_says_where() {
        let broken = |schema| check(&raw(&schema)).err().unwrap();
        let wrong = broken(json!({"properties": {"a": {"type": "text"}}}));
        assert!(wrong.contains("at `/properties/a/type`"), "{wrong}");
        let elsewhere = broken(json!({"$ref": "https://example.com/schema.json"}));
        assert!(elsewhere.contains("example.com"), "{elsewhere}");
        assert!(broken(json!([])).starts_with("is no JSON Schema: "));
    }
}
