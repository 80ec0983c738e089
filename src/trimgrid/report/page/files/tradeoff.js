// Size against error: all attempts, the front of each run, the pick and the chosen one.

const SYMBOLS = ['circle', 'square', 'diamond', 'triangle-up', 'pentagon', 'triangle-down'];
// From here on a range would hide more points than it tells of.
const MOST_RANGES = 200;

// So many points are drawn by the graphics card, where there is a way to it.
const MANY = 300;
let graphics = null;
const hasGraphics = () => (graphics ??= Boolean(element('canvas').getContext('webgl')));

const runColour = (run) => (data.runs.length > 1 ? colour(`run${run % 6}`) : colour('front'));

const hoverTexts = new Map();

function hoverText(attempt) {
  if (!hoverTexts.has(attempt)) hoverTexts.set(attempt, figuresOf(attempt));
  return hoverTexts.get(attempt);
}

function figuresOf(attempt) {
  const lines = [`<b>${plain(shortened(attempt.name, 60))}</b>`];
  if (data.runs.length > 1) lines.push(plain(data.runs[attempt.run].name));
  data.sizes.forEach((size, place) => {
    const bytes = attempt.sizes[place];
    if (bytes !== null) lines.push(`${size.label}: ${grouped(bytes)} bytes`);
  });
  lines.push(`error ${attempt.error_text}${attempt.change ? ` (${plain(attempt.change)})` : ''}`);
  if (attempt.range) {
    lines.push(`median of ${attempt.repeats}, ${attempt.range_text}`);
  }
  if (attempt.zeros !== null && attempt.weights) {
    lines.push(`${percent(attempt.zeros / attempt.weights)} zeros of ${grouped(attempt.weights)} weights`);
  }
  if (attempt.status !== 'ok') lines.push(plain(shortened(attempt.status, 80)));
  return lines.join('<br>');
}

function pointTrace(indices, look) {
  const attempts = indices.map((index) => data.attempts[index]);
  const trace = {
    type: attempts.length > MANY && hasGraphics() ? 'scattergl' : 'scatter',
    mode: 'markers',
    x: attempts.map((each) => sizeOf(each)),
    y: attempts.map((each) => each.error),
    customdata: indices,
    hoverinfo: 'text',
    hovertext: attempts.map(hoverText),
    ...look,
  };
  if (attempts.some((each) => each.range) && attempts.length <= MOST_RANGES) {
    trace.error_y = {
      type: 'data',
      symmetric: false,
      array: attempts.map((each) => (each.range ? each.range[1] - each.error : 0)),
      arrayminus: attempts.map((each) => (each.range ? each.error - each.range[0] : 0)),
      color: faded(look.marker.color, 0.55),
      thickness: 1.5,
      width: 4,
    };
  }
  return trace;
}

const pickedIndices = () => state.picks.map((pick) => pick.index).filter((index) => index !== undefined);

const chosenIndices = () =>
  data.attempts[state.chosen] && isShown(data.attempts[state.chosen]) ? [state.chosen] : [];

// Whether an axis can be logarithmic, and is better so.
const positive = (values) => values.length > 0 && values.every((value) => value > 0);

function tradeoffTraces() {
  const traces = [];
  const several = data.runs.length > 1;
  data.runs.forEach((run, place) => {
    const inFront = new Set(state.fronts[place]);
    const beaten = membersOf(place).filter(
      (index) => isShown(data.attempts[index]) && !inFront.has(index) && index !== run.original,
    );
    const paint = runColour(place);
    const symbol = SYMBOLS[place % SYMBOLS.length];
    const name = several ? plain(shortened(run.name, 30)) : '';
    const grey = several ? faded(paint, 0.55) : colour('beaten');
    const group = several ? { legendgroup: `run${place}` } : {};
    traces.push({
      ...pointTrace(beaten, {
        marker: { color: grey, symbol: several ? `${symbol}-open` : 'x-thin-open', size: 8, line: { width: 1.8 } },
      }),
      name: several ? name : 'beaten by another',
      showlegend: !several && beaten.length > 0,
      ...group,
    });
    const front = state.fronts[place];
    const line = front.map((index) => data.attempts[index]);
    traces.push({
      type: 'scatter',
      mode: 'lines',
      x: line.map((each) => sizeOf(each)),
      y: line.map((each) => each.error),
      line: { shape: 'hv', color: faded(paint, 0.6), width: 1.6, dash: several ? ['solid', 'dash', 'dot'][place % 3] : 'solid' },
      hoverinfo: 'skip',
      showlegend: false,
      ...group,
    });
    traces.push({
      ...pointTrace(front.filter((index) => index !== run.original), {
        marker: { color: paint, symbol, size: several ? Math.max(14 - 3 * place, 7) : 11, line: { color: colour('paper'), width: 1 } },
      }),
      name: several ? name : 'on the front',
      showlegend: several || front.some((index) => index !== run.original),
      ...group,
    });
    const original = run.original !== null && isShown(data.attempts[run.original]) ? [run.original] : [];
    traces.push({
      ...pointTrace(original, {
        marker: { color: several ? paint : colour('original'), symbol: 'star', size: several ? Math.max(21 - 5 * place, 10) : 17, line: { color: colour('ink'), width: 1 } },
      }),
      name: 'original',
      showlegend: original.length > 0 && (!several || place === 0),
      ...group,
    });
  });
  return traces;
}

// Paths in pixels around a point: on a logarithmic axis Plotly cuts other shapes off below zero.
const RING = (() => {
  const [radius, bend] = [12, 12 * 0.5523]; // the bend makes four curves a circle
  const corners = [[1, 0], [0, 1], [-1, 0], [0, -1], [1, 0]].map(([x, y]) => [radius * x, radius * y]);
  const curves = corners.slice(1).map(([x, y], place) => {
    const [fromX, fromY] = corners[place];
    const along = (from, to) => from + (to * bend) / radius;
    return `C${along(fromX, x)},${along(fromY, y)} ${along(x, fromX)},${along(y, fromY)} ${x},${y}`;
  });
  return `M${corners[0]}${curves.join('')}Z`;
})();
const FRAME = 'M-16,-16L16,-16L16,16L-16,16Z';

// Shapes, not traces: moving them leaves the points as they are.
function rings() {
  const around = (indices, path, line) =>
    indices.map((index) => ({
      type: 'path',
      path,
      line,
      xref: 'x',
      yref: 'y',
      xsizemode: 'pixel',
      ysizemode: 'pixel',
      xanchor: sizeOf(data.attempts[index]),
      yanchor: data.attempts[index].error,
    }));
  return [
    // Of several runs each has a colour, which a ring of yet another would be taken for.
    ...around(pickedIndices(), RING, { color: colour(data.runs.length > 1 ? 'ink' : 'pick'), width: 3 }),
    ...around(chosenIndices(), FRAME, { color: colour('chosen'), width: 2 }),
  ];
}

function showTradeoff() {
  const shown = data.attempts.filter((each) => isShown(each));
  for (const [id, values] of [
    ['log-error', shown.map((each) => each.error)],
    ['log-size', shown.map((each) => sizeOf(each))],
  ]) {
    const box = byId(id);
    box.disabled = !positive(values);
    if (box.disabled) box.checked = false;
  }
  const empty = shown.length === 0;
  const errorName = [...new Set(data.runs.map((run) => run.error_name))].join(' / ');
  const made = layout(
    data.sizes.length ? `${data.sizes[state.size].label}, bytes` : 'size',
    plain(shortened(`error (${errorName})`, 60)),
    {
      xaxis: byId('log-size').checked ? logAxis(shown.map((each) => sizeOf(each))) : { exponentformat: 'none', separatethousands: true },
      yaxis: byId('log-error').checked ? logAxis(shown.map((each) => each.error)) : {},
      annotations: empty
        ? [{ text: 'Nothing was measured by this size.', showarrow: false, xref: 'paper', yref: 'paper', x: 0.5, y: 0.5 }]
        : nameNotes(shown),
      uirevision: `${state.size}${byId('log-error').checked}${byId('log-size').checked}`,
    },
  );
  made.shapes = rings();
  draw('tradeoff-chart', tradeoffTraces(), made).then(listen);
}

function moveRings() {
  if (byId('tradeoff-chart').layout) Plotly.relayout(byId('tradeoff-chart'), { shapes: rings() });
}

function startTradeoff(chooseAttempt) {
  const errors = data.attempts.filter((each) => each.error !== null).map((each) => each.error);
  byId('log-error').checked = positive(errors) && Math.max(...errors) > 10 * Math.min(...errors);
  for (const id of ['log-error', 'log-size', 'names']) byId(id).addEventListener('change', showTradeoff);
  byId('names').checked = data.attempts.length <= 12 && innerWidth > 700;
  clicked = chooseAttempt;
  showTradeoff();
}

let clicked = null;

// Anew after each drawing: what could not be drawn has forgotten who listens.
function listen() {
  const chart = byId('tradeoff-chart');
  if (!chart.on) return;
  chart.removeAllListeners('plotly_click');
  chart.on('plotly_click', (event) => {
    const index = event.points[0]?.customdata;
    if (index !== undefined) clicked(index);
  });
}
