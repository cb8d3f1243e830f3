//! SVG elements, written one after another.

use super::palette::INK;

/// Where a text begins, or what it is centred on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A drawing under way. Positions are pixels from the upper left corner.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    body: String,
}

impl Canvas {
    fn put(&mut self, element: std::fmt::Arguments<'_>) {
        self.body.push_str(&element.to_string());
        self.body.push('\n');
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), opacity: f64) {
        self.put(format_args!(
            r#"<line x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}" stroke="{INK}" stroke-opacity="{opacity}"/>"#,
            from.0, from.1, to.0, to.1
        ));
    }

    pub(super) fn rect(&mut self, at: (f64, f64), size: (f64, f64), colour: &str, title: &str) {
        let title = escaped(title);
        self.put(format_args!(
            r#"<rect x="{:.1}" y="{:.1}" width="{:.1}" height="{:.1}" fill="{colour}"><title>{title}</title></rect>"#,
            at.0, at.1, size.0, size.1
        ));
    }

    pub(super) fn path(&mut self, points: &[(f64, f64)], colour: &str, dash: &str) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.put(format_args!(
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round" stroke-dasharray="{dash}"/>"#,
            points.join(" ")
        ));
    }

    pub(super) fn dot(&mut self, at: (f64, f64), colour: &str, title: &str) {
        let title = escaped(title);
        self.put(format_args!(
            r#"<circle cx="{:.1}" cy="{:.1}" r="3" fill="{colour}"><title>{title}</title></circle>"#,
            at.0, at.1
        ));
    }

    pub(super) fn text(&mut self, at: (f64, f64), anchor: Anchor, class: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        let (anchor, text) = (anchor.name(), escaped(text));
        self.put(format_args!(
            r#"<text x="{:.1}" y="{:.1}" text-anchor="{anchor}" class="{class}">{text}</text>"#,
            at.0, at.1
        ));
    }

    /// Reads from below upwards.
    pub(super) fn upright(&mut self, at: (f64, f64), class: &str, text: &str) {
        let text = escaped(text);
        self.put(format_args!(
            r#"<text transform="translate({:.1} {:.1}) rotate(-90)" text-anchor="middle" class="{class}">{text}</text>"#,
            at.0, at.1
        ));
    }

    /// Reads from below upwards, and begins there.
    pub(super) fn upright_from(&mut self, at: (f64, f64), text: &str) {
        let text = escaped(text);
        self.put(format_args!(
            r#"<text transform="translate({:.1} {:.1}) rotate(-90)" text-anchor="start" font-size="9">{text}</text>"#,
            at.0, at.1
        ));
    }

    /// The whole drawing.
    pub(super) fn finish(self, width: f64, height: f64, title: &str) -> String {
        let title = escaped(title);
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" width="{width:.0}" height="{height:.0}" role="img" aria-label="{title}">
<style>text {{ font-family: system-ui, sans-serif; font-size: 11px; fill: {INK}; }} .title {{ font-size: 14px; font-weight: 600; }} .head {{ font-size: 12px; font-weight: 600; }}</style>
{}</svg>
"#,
            self.body
        )
    }
}

impl Anchor {
    fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

/// Text that is no mark-up, whatever is in it.
fn escaped(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '&' => "&amp;".to_string(),
            '<' => "&lt;".to_string(),
            '>' => "&gt;".to_string(),
            '"' => "&quot;".to_string(),
            c if c.is_control() => " ".to_string(),
            c => c.to_string(),
        })
        .collect()
}
