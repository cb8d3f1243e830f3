//! Figures are well-formed, complete and the same every time.

use super::{Axis, Bars, Figure, Lines, Marks, Moment, Panel};

fn bars(series: Vec<(String, Vec<Option<f64>>)>) -> Figure {
    let groups = vec!["chain".to_string(), "a < b & \"c\"".to_string()];
    let marks = Marks::Bars(Bars { groups, series });
    let panel = Panel { title: "T".into(), x: Axis::new(""), y: Axis::new("%"), marks };
    Figure { title: "Bars & lines".into(), across: 1, panels: vec![panel] }
}

fn lines(points: Vec<(f64, f64)>, x: Axis) -> Figure {
    let marks = Marks::Lines(Lines { series: vec![("one".into(), points)], ..Lines::default() });
    let panel = Panel { title: String::new(), x, y: Axis::new("s"), marks };
    Figure { title: "L".into(), across: 2, panels: vec![panel.clone(), panel] }
}

/// Every element that is opened is closed, in order, and every attribute has its quotes.
fn assert_well_formed(svg: &str) {
    let mut open: Vec<&str> = Vec::new();
    for tag in svg.split('<').skip(1) {
        let (inside, rest) = tag.split_once('>').unwrap_or_else(|| panic!("{tag}"));
        assert_eq!(inside.matches('"').count() % 2, 0, "{inside}");
        assert!(!rest.contains('>'), "{rest}");
        let name = inside.split([' ', '/']).next().unwrap();
        match inside.strip_prefix('/') {
            Some(closed) => assert_eq!(open.pop(), Some(closed)),
            None if inside.ends_with('/') => {}
            None => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
}

/// Values of an attribute of every element of that name.
fn all(svg: &str, element: &str, attribute: &str) -> Vec<f64> {
    let of = |part: &str| {
        let inside = part.split('>').next()?;
        let (_, value) = inside.split_once(&format!(" {attribute}=\""))?;
        value.split('"').next()?.parse().ok()
    };
    svg.split(&format!("<{element}")).skip(1).filter_map(of).collect()
}

#[test]
fn there_is_a_bar_for_every_value_and_its_height_follows_it() {
    let values = vec![Some(25.0), Some(50.0)];
    let svg =
        bars(vec![("Sage".into(), values), ("other".into(), vec![None, Some(100.0)])]).to_svg();
    assert_well_formed(&svg);
    // Two of the legend come first.
    let heights = &all(&svg, "rect", "height")[2..];
    assert_eq!(heights.len(), 3);
    let [quarter, half, whole] = [heights[0], heights[1], heights[2]];
    assert!(
        (half / quarter - 2.0).abs() < 0.02 && (whole / half - 2.0).abs() < 0.02,
        "{heights:?}"
    );
    assert!(svg.contains("a &lt; b &amp; &quot;c&quot;") && svg.contains("Bars &amp; lines"));
}

#[test]
fn the_same_figure_gives_the_same_text() {
    let figure = lines(vec![(1.0, 2.0), (10.0, 3.0)], Axis::new("n").log());
    assert_eq!(figure.to_svg(), figure.clone().to_svg());
}

#[test]
fn points_of_a_logarithmic_axis_are_as_far_apart_as_their_ratios() {
    let svg = lines(vec![(1.0, 1.0), (10.0, 2.0), (100.0, 3.0)], Axis::new("n").log()).to_svg();
    assert_well_formed(&svg);
    let x = all(&svg, "circle", "cx");
    assert_eq!(x.len(), 6, "two panels");
    assert!(((x[1] - x[0]) - (x[2] - x[1])).abs() < 0.3, "{x:?}");
    assert!(x[3] > x[2], "the second panel is beside the first");
    let y = all(&svg, "circle", "cy");
    assert!(y[0] > y[1] && y[1] > y[2], "up is more: {y:?}");
}

#[test]
fn odd_values_draw_no_nonsense() {
    for points in [vec![], vec![(5.0, 0.0)], vec![(0.0, -3.0), (1e7, 1e9)]] {
        assert_well_formed(&lines(points.clone(), Axis::new("n")).to_svg());
        assert_well_formed(&lines(points, Axis::new("n").log()).to_svg());
    }
    assert_well_formed(&bars(vec![]).to_svg());
    assert_well_formed(&bars(vec![("s".into(), vec![None, Some(f64::NAN)])]).to_svg());
    assert_well_formed(&Figure { title: String::new(), across: 0, panels: vec![] }.to_svg());
}

#[test]
fn moments_stand_in_the_figure_at_their_time() {
    let series = vec![("one".into(), vec![(0.0, 1.0), (10.0, 2.0)])];
    let moments =
        vec![Moment { at: 0.0, text: "a < b".into() }, Moment { at: 10.0, text: "later".into() }];
    let marks = Marks::Lines(Lines { series, moments });
    let panel = Panel { title: String::new(), x: Axis::new("s"), y: Axis::new("ms"), marks };
    let svg = Figure { title: "M".into(), across: 1, panels: vec![panel] }.to_svg();
    assert_well_formed(&svg);
    let at = |text: &str| {
        let (before, _) = svg.split_once(&format!(">{text}<")).unwrap();
        let (_, place) = before.rsplit_once("translate(").unwrap();
        place.split(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert!(at("a &lt; b") < 100.0 && at("later") > 700.0, "{svg}");
}
