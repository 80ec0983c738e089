// How all charts look, in the colours of the moment.

// Plotly reads some HTML in its texts: names of a run are shown as they are written.
const plain = (text) =>
  String(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

const CONFIG = {
  responsive: true,
  displaylogo: false,
  plotGlPixelRatio: devicePixelRatio, // twice as fine as the screen would be four times the work
  // Named one by one: what else Plotly offers sends data away.
  modeBarButtons: [['toImage', 'zoom2d', 'pan2d', 'resetScale2d']],
};

function layout(x, y, more = {}) {
  const [ink, quiet, line, grid] = ['ink', 'quiet', 'line', 'grid'].map(colour);
  const axis = {
    gridcolor: grid,
    linecolor: line,
    zerolinecolor: grid,
    tickcolor: line,
    automargin: true,
    tickfont: { color: quiet, size: 12 },
  };
  const title = (text) => ({ text, font: { color: quiet, size: 12.5 }, standoff: 8 });
  return {
    paper_bgcolor: 'rgba(0,0,0,0)',
    plot_bgcolor: 'rgba(0,0,0,0)',
    font: { family: 'system-ui, sans-serif', color: ink, size: 12.5 },
    margin: { l: 12, r: 12, t: 30, b: 12 },
    hoverlabel: {
      bgcolor: colour('card'),
      bordercolor: line,
      font: { color: ink, family: 'system-ui, sans-serif' },
      align: 'left',
    },
    modebar: { bgcolor: 'rgba(0,0,0,0)', color: quiet, activecolor: ink },
    legend: { orientation: 'h', x: 0, y: 1.02, yanchor: 'bottom', font: { color: ink, size: 12 } },
    hovermode: 'closest',
    ...more,
    xaxis: { ...axis, title: title(x), ...more.xaxis },
    yaxis: { ...axis, title: title(y), ...more.yaxis },
  };
}

// A logarithmic axis for these values: powers of ten alone where it spans several.
function logAxis(values) {
  const wide = Math.log10(Math.max(...values) / Math.min(...values)) > 2;
  return { type: 'log', exponentformat: 'power', minexponent: 3, dtick: wide ? 1 : 'D2' };
}

// Axes that can't be zoomed by touch let the page scroll on a phone.
function draw(id, traces, made) {
  const touch = matchMedia('(pointer: coarse)').matches;
  if (touch) made.dragmode = false;
  const config = { ...CONFIG, displayModeBar: touch ? false : 'hover' };
  const place = byId(id);
  const failed = (error) => {
    // Values that no axis can hold, such as 1e308 beside -1e308.
    Plotly.purge(place);
    place.dataset.failed = `This can't be drawn: ${error.message ?? error}`;
  };
  delete place.dataset.failed;
  try {
    return Plotly.react(place, traces, made, config).catch(failed);
  } catch (error) {
    failed(error);
    return Promise.resolve();
  }
}
