//! `lonja config show`: every setting, and where it comes from.

use crate::cli::{ConfigCommand, ShowArgs};
use crate::{config, print};
use eyre::Result;
use figment::value::Value;
use serde_json::json;

pub fn run(command: ConfigCommand) -> Result<()> {
    let ConfigCommand::Show(args) = command;
    show(&args)
}

fn show(args: &ShowArgs) -> Result<()> {
    let file = config::file(&args.data.data_dir);
    let figment = config::layers(config::Settings::default(), file.exists().then_some(file.as_path()), &args.settings);
    let settings = config::read(&figment)?; // a wrong value is an error here as it would be at start
    if !args.origin {
        if args.json {
            return print::json(&settings);
        }
        print::line(toml::to_string_pretty(&settings)?.trim_end());
        return Ok(());
    }
    let origins = config::origins(&figment)?;
    if args.json {
        let rows: Vec<_> = origins
            .iter()
            .map(|(key, value, origin)| json!({ "key": key, "value": value, "origin": origin }))
            .collect();
        return print::json(&rows);
    }
    let rows: Vec<_> =
        origins.iter().map(|(key, value, origin)| vec![key.clone(), text(value), origin.clone()]).collect();
    print::table(&["KEY", "VALUE", "ORIGIN"], &rows);
    Ok(())
}

fn text(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| format!("{value:?}"))
}
