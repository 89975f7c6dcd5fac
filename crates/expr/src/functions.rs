//! The functions that an expression may call, and our own in place of those that could grow a value
//! without bound.

use crate::limits::{ELEMENTS, VALUE_BYTES};
use cel::common::types::{
    CelBytes, CelInt, CelList, CelMap, CelString, DYN_TYPE, INT_TYPE, Kind, LIST_TYPE, STRING_TYPE,
};
use cel::common::value::{CowVal, FromVal, Val};
use cel::{Env, ExecutionError};
use std::sync::{Arc, LazyLock};

type Val2<'b, 'v> = CowVal<'b, 'v>;
type Outcome<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

/// Every function, macros included, as it is written. `docs/reference/plan.md` lists them.
pub const FUNCTIONS: &[&str] = &[
    "all",
    "always",
    "base64.decode",
    "base64.encode",
    "bool",
    "bytes",
    "charAt",
    "contains",
    "double",
    "duration",
    "dyn",
    "endsWith",
    "exists",
    "existsOne",
    "exists_one",
    "failure",
    "filter",
    "flatten",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "has",
    "int",
    "join",
    "lists.range",
    "lowerAscii",
    "map",
    "matches",
    "math.abs",
    "math.ceil",
    "math.floor",
    "math.greatest",
    "math.isFinite",
    "math.isInf",
    "math.isNaN",
    "math.least",
    "math.round",
    "math.sign",
    "math.sqrt",
    "math.trunc",
    "replace",
    "reverse",
    "size",
    "slice",
    "sort",
    "sortBy",
    "split",
    "startsWith",
    "string",
    "substring",
    "success",
    "timestamp",
    "trim",
    "type",
    "uint",
    "upperAscii",
];

/// The first names of functions such as `math.abs`.
pub(crate) const NAMESPACES: [&str; 3] = ["base64", "lists", "math"];

/// Names of types, as in `type(x) == int`.
pub(crate) const TYPES: [&str; 10] =
    ["bool", "bytes", "double", "dyn", "int", "list", "map", "null_type", "string", "uint"];

/// Adds two values; in place of `+`.
pub(crate) const ADD: &str = "@add";
/// The elements of a list or the sorted keys of a map; around what a comprehension iterates over.
pub(crate) const ORDERED: &str = "@ordered";
/// Calls that our own functions stand in for.
pub(crate) const REPLACED: [(&str, &str); 4] =
    [("join", "@join"), ("lists.range", "@range"), ("replace", "@replace"), ("split", "@split")];

/// Built once: it holds nothing but declarations.
pub(crate) fn environment() -> Arc<Env> {
    static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(build().expect("no name is declared twice")));
    ENV.clone()
}

fn build() -> Result<Env, cel::DeclarationError> {
    use cel::extensions;
    let mut env = Env::stdlib().with_optional_support(false);
    env.add_extension(extensions::strings)?;
    env.add_extension(extensions::lists)?;
    env.add_extension(extensions::math)?;
    env.add_extension(extensions::encoders)?;
    env.add_overload(ADD, "add", vec![DYN_TYPE, DYN_TYPE], add)?;
    env.add_overload(ORDERED, "ordered", vec![DYN_TYPE], ordered)?;
    env.add_overload("@range", "range", vec![INT_TYPE], range)?;
    env.add_member_overload("@join", "join", LIST_TYPE, vec![], join)?;
    env.add_member_overload("@join", "join_with", LIST_TYPE, vec![STRING_TYPE], join)?;
    env.add_member_overload("@replace", "replace", STRING_TYPE, vec![STRING_TYPE, STRING_TYPE], replace)?;
    env.add_member_overload("@split", "split", STRING_TYPE, vec![STRING_TYPE], split)?;
    Ok(env)
}

fn arg<'b, 'v, T: FromVal<'b, 'v> + 'b>(args: &'b [Val2<'_, 'v>], i: usize) -> Result<&'b T, ExecutionError> {
    let value = args.get(i).ok_or_else(|| ExecutionError::invalid_argument_count(i + 1, args.len()))?;
    let value: &'b (dyn Val + 'v) = value.as_ref();
    value.downcast_ref::<T>().ok_or_else(|| ExecutionError::UnexpectedType {
        got: value.get_type().name().to_owned(),
        want: "another type".to_owned(),
    })
}

fn too_large(function: &str) -> ExecutionError {
    ExecutionError::function_error(function, "the result would be larger than 1 MiB")
}

fn too_many(function: &str) -> ExecutionError {
    ExecutionError::function_error(function, "the list would have more than 100000 elements")
}

fn add<'b, 'v>(args: Vec<Val2<'b, 'v>>) -> Outcome<'b, 'v> {
    let (left, right) = (args[0].as_ref(), args[1].as_ref());
    if let (Some(l), Some(r)) = (left.downcast_ref::<CelString>(), right.downcast_ref::<CelString>()) {
        if l.inner().len() + r.inner().len() > VALUE_BYTES {
            return Err(too_large("+"));
        }
    } else if let (Some(l), Some(r)) = (left.downcast_ref::<CelBytes>(), right.downcast_ref::<CelBytes>()) {
        if l.inner().len() + r.inner().len() > VALUE_BYTES {
            return Err(too_large("+"));
        }
    } else if let Some(l) = left.downcast_ref::<CelList>() {
        // CEL's own would take the keys of a map, in no order.
        let r = arg::<CelList>(&args, 1).map_err(|_| unsupported(left, right))?;
        if l.inner().len() + r.inner().len() > ELEMENTS {
            return Err(too_many("+"));
        }
    }
    let adder = left.as_adder().ok_or_else(|| unsupported(left, right))?;
    Ok(CowVal::Owned(adder.add(right)?.into_owned()))
}

fn unsupported(left: &dyn Val, right: &dyn Val) -> ExecutionError {
    let names = vec![left.get_type().name().to_owned(), right.get_type().name().to_owned()];
    ExecutionError::no_such_overload("_+_", names)
}

fn ordered<'b, 'v>(mut args: Vec<Val2<'b, 'v>>) -> Outcome<'b, 'v> {
    let value = args.remove(0);
    if value.get_type().kind() == Kind::List {
        return Ok(value);
    }
    let Some(map) = value.as_ref().downcast_ref::<CelMap>() else {
        let message = format!("{} has no elements to go through", value.get_type().name());
        return Err(ExecutionError::function_error("map, filter, all, exists", message));
    };
    let mut keys: Vec<_> = map.inner().keys().cloned().collect();
    keys.sort_unstable();
    let keys: Vec<Box<dyn Val + 'v>> = keys.iter().map(|key| key.inner().clone_as_boxed()).collect();
    Ok(CowVal::owned(CelList::from(keys)))
}

fn range<'b, 'v>(args: Vec<Val2<'b, 'v>>) -> Outcome<'b, 'v> {
    let count = *arg::<CelInt>(&args, 0)?.inner();
    let count = usize::try_from(count)
        .ok()
        .filter(|n| *n <= ELEMENTS)
        .ok_or_else(|| ExecutionError::function_error("lists.range", format!("{count} is not between 0 and 100000")))?;
    let numbers = (0_i64..).take(count).map(|i| Box::new(CelInt::from(i)) as Box<dyn Val>);
    Ok(CowVal::owned(CelList::from(numbers.collect::<Vec<_>>())))
}

fn join<'b, 'v>(args: Vec<Val2<'b, 'v>>) -> Outcome<'b, 'v> {
    let separator = if args.len() > 1 { arg::<CelString>(&args, 1)?.inner() } else { "" };
    let mut joined = String::new();
    for (i, element) in arg::<CelList>(&args, 0)?.inner().iter().enumerate() {
        let Some(text) = element.downcast_ref::<CelString>() else {
            let message = format!("an element is {}, not a string", element.get_type().name());
            return Err(ExecutionError::function_error("join", message));
        };
        if joined.len() + separator.len() + text.inner().len() > VALUE_BYTES {
            return Err(too_large("join"));
        }
        joined.push_str(if i > 0 { separator } else { "" });
        joined.push_str(text.inner());
    }
    Ok(CowVal::owned(CelString::from(joined)))
}

fn replace<'b, 'v>(args: Vec<Val2<'b, 'v>>) -> Outcome<'b, 'v> {
    let [text, from, to] = [arg::<CelString>(&args, 0)?, arg::<CelString>(&args, 1)?, arg::<CelString>(&args, 2)?];
    let count = text.inner().matches(from.inner()).count();
    if text.inner().len() + count.saturating_mul(to.inner().len()) > VALUE_BYTES {
        return Err(too_large("replace"));
    }
    Ok(CowVal::owned(CelString::from(text.inner().replace(from.inner(), to.inner()))))
}

fn split<'b, 'v>(args: Vec<Val2<'b, 'v>>) -> Outcome<'b, 'v> {
    let [text, separator] = [arg::<CelString>(&args, 0)?.inner(), arg::<CelString>(&args, 1)?.inner()];
    let parts: Vec<String> = match separator.is_empty() {
        true => text.chars().take(ELEMENTS + 1).map(String::from).collect(),
        false => text.split(separator).take(ELEMENTS + 1).map(str::to_owned).collect(),
    };
    if parts.len() > ELEMENTS {
        return Err(too_many("split"));
    }
    let parts = parts.into_iter().map(|part| Box::new(CelString::from(part)) as Box<dyn Val + 'v>);
    Ok(CowVal::owned(CelList::from(parts.collect::<Vec<_>>())))
}
