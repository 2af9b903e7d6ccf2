//! Bars on a terminal; nothing elsewhere.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over so many items, on standard error if that is a terminal.
pub(super) fn over(items: u64) -> ProgressBar {
    let bar = ProgressBar::new(items);
    let template = "{bar:40} {pos}/{len} items, {per_sec}, {eta} left";
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// A bar over so many bytes, or a count of them if that is 0.
pub(super) fn bytes(bytes: u64) -> ProgressBar {
    let bar = match bytes {
        0 => ProgressBar::no_length(),
        bytes => ProgressBar::new(bytes),
    };
    let template = "{bar:40} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
