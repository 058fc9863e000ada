//! The chart of `bedfs traffic --svg`: the days as bars, and the pictures that used most.

use std::path::Path;

use plotters::prelude::*;

use super::{Failure, one_line};
use crate::state::{DaySum, FileSum};

/// How many files are drawn.
pub(super) const FILES: usize = 10;

/// The size of the drawing, in pixels, and how much of its height the days have.
const SIZE: (u32, u32) = (960, 720);
const DAYS: u32 = 330;

/// The room of so many days is there at least: a single bar would be a wall.
const FEWEST: usize = 7;

/// Longer names are cut off, in characters.
const LONGEST: usize = 34;

const BED: RGBColor = RGBColor(38, 132, 199);
const DRIVE: RGBColor = RGBColor(240, 160, 60);
const INK: RGBColor = RGBColor(70, 70, 70);

/// Writes the chart to `path`, whole or not at all.
pub(super) fn draw(path: &Path, days: &[DaySum], files: &[FileSum]) -> Result<(), Failure> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let (above, below) = area.split_vertically(DAYS);
        draw_days(&above, days)?;
        draw_files(&below, files)?;
        area.present()?;
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let file = tempfile::Builder::new()
        .prefix(".chart")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder.unwrap_or(Path::new(".")))?;
    std::fs::write(file.path(), svg)?;
    file.persist(path)?;
    Ok(())
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// The unit in which the greatest of these numbers of bytes reads well, and its name.
fn unit(most: u64) -> (f64, &'static str) {
    let units = [(1u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let found = units.into_iter().find(|(size, _)| most >= *size);
    found.map_or((1.0, "bytes"), |(size, name)| (size as f64, name))
}

/// Both sources on top of each other, a bar a day.
fn draw_days(area: &Area<'_>, days: &[DaySum]) -> Result<(), Failure> {
    let most = days.iter().map(|day| day.bed + day.drive).max().unwrap_or(0);
    let (unit, name) = unit(most);
    let top = (most as f64 / unit).max(1.0) * 1.1;
    let mut chart = ChartBuilder::on(area)
        .caption(format!("Direct-link traffic by day, {name}"), ("sans-serif", 20, &INK))
        .margin(14)
        .x_label_area_size(32)
        .y_label_area_size(64)
        .build_cartesian_2d(-0.5..days.len().max(FEWEST) as f64 - 0.5, 0.0..top)?;
    let label = |at: &f64| {
        let day = days.get(at.round().max(0.0) as usize).filter(|_| at.fract().abs() < 0.01);
        day.map_or_else(String::new, |day| day.day.strftime("%m-%d").to_string())
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE)
        .x_labels(days.len().clamp(FEWEST, 16))
        .x_label_formatter(&label)
        .y_labels(6)
        .label_style(("sans-serif", 13, &INK))
        .axis_style(INK.mix(0.4))
        .draw()?;
    for (place, day) in days.iter().enumerate() {
        let (left, right) = (place as f64 - 0.35, place as f64 + 0.35);
        let (bed, all) = (day.bed as f64 / unit, (day.bed + day.drive) as f64 / unit);
        let bars = [
            Rectangle::new([(left, 0.0), (right, bed)], BED.filled()),
            Rectangle::new([(left, bed), (right, all)], DRIVE.filled()),
        ];
        chart.draw_series(bars)?;
    }
    for (place, (text, colour)) in
        [("image bed", BED), ("cloud drive", DRIVE)].into_iter().enumerate()
    {
        let left = SIZE.0 as i32 - 230 + 110 * place as i32;
        area.draw(&Rectangle::new([(left, 18), (left + 12, 30)], colour.filled()))?;
        area.draw(&Text::new(text, (left + 18, 18), ink(13)))?;
    }
    Ok(())
}

/// A line a file: its name, a bar, its bytes.
fn draw_files(area: &Area<'_>, files: &[FileSum]) -> Result<(), Failure> {
    let title = format!("The {} files that used most", files.len());
    area.draw(&Text::new(title, (24, 8), ink(20)))?;
    let most = files.iter().map(|file| file.bytes).max().unwrap_or(0).max(1);
    let (left, width) = (300, SIZE.0 as i32 - 300 - 130);
    for (place, file) in files.iter().enumerate() {
        let top = 44 + 33 * place as i32;
        let end = left + (width as f64 * file.bytes as f64 / most as f64) as i32;
        let colour = if file.source == crate::types::IMAGE_BED { BED } else { DRIVE };
        area.draw(&Text::new(shortened(&file.path), (24, top + 5), ink(13)))?;
        area.draw(&Rectangle::new([(left, top), (end.max(left + 1), top + 22)], colour.filled()))?;
        let bytes = indicatif::BinaryBytes(file.bytes).to_string();
        area.draw(&Text::new(bytes, (end + 8, top + 5), ink(13)))?;
    }
    Ok(())
}

/// Text of that size.
fn ink(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK)
}

/// The end of a path tells more than its beginning.
fn shortened(path: &str) -> String {
    let path = one_line(path.trim_start_matches('/'));
    let count = path.chars().count();
    match count > LONGEST {
        true => format!("…{}", path.chars().skip(count - LONGEST + 1).collect::<String>()),
        false => path,
    }
}
