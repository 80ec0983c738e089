// The chosen attempt: its figures beside the trade-off, its curves and weights below.

function showChosen() {
  const attempt = data.attempts[state.chosen];
  if (!attempt) return;
  byId('chosen-title').replaceChildren(isolated(attempt.name));
  const run = data.runs.length > 1 ? [element('span', ' in ', { class: 'quiet' }), isolated(data.runs[attempt.run].name)] : [];
  const title = [element('span', 'Details of ', { class: 'quiet' }), isolated(attempt.name), ...run];
  byId('attempt-title').replaceChildren(...title);
  byId('chosen-text').textContent = inWords(attempt);
  const told = [];
  if (data.runs.length > 1) told.push(['run', data.runs[attempt.run].name]);
  if (attempt.status !== 'ok') told.push(['status', attempt.status]);
  told.push(['error', `${attempt.error_text}${attempt.change ? ` (${attempt.change})` : ''}`]);
  if (attempt.range) told.push(['range', `${attempt.range_text}, ${attempt.repeats} repeats`]);
  if (attempt.zeros !== null && attempt.weights) {
    told.push(['zeros', `${percent(attempt.zeros / attempt.weights)} of ${grouped(attempt.weights)}`]);
  }
  data.sizes.forEach((size, place) => {
    const bytes = attempt.sizes[place];
    told.push([size.label, bytes === null ? 'not measured' : `${grouped(bytes)} bytes`]);
  });
  if (attempt.latency !== null) told.push(['latency', `${attempt.latency_text} ms, 1 thread`]);
  told.push(...attempt.settings);
  byId('chosen-facts').replaceChildren(
    ...told.flatMap(([name, value]) => [element('dt', name), element('dd', isolated(value))]),
  );
  byId('chosen-command').textContent = commandOf(attempt);
  document.querySelector('#chosen .copy').hidden = !commandOf(attempt);
}

// Says in the place of a chart why there is none; returns whether there is one.
function present(part, chart, there, why) {
  const problem = document.querySelector(`[data-part="${part}"]`);
  problem.hidden = there;
  problem.textContent = there ? '' : why;
  byId(chart).hidden = !there;
  return there;
}

// `turn` does one thing after the other: with room between, or for paper at once.
function showDetails(turn = oneByOne) {
  const attempt = data.attempts[state.chosen];
  const told = attempt?.details;
  const missing = attempt && !told;
  byId('attempt-problem').hidden = !missing;
  byId('attempt-problem').textContent = missing
    ? 'The details of this attempt are left out, so that the page stays small. In a page of fewer attempts they are there.'
    : '';
  for (const part of document.querySelectorAll('#attempt .details, #predictions')) part.hidden = !told;
  showTable('forms', told?.forms ?? null);
  showTable('latency', told?.latency ?? null);
  byId('latency-about').textContent = told?.latency?.about ?? '';
  if (!told) {
    oneByOne('details', []); // what was begun for another attempt is not wanted any more
    return;
  }
  const problems = told.problems;
  showMetrics(told);
  const updates = told.updates ?? [];
  const original = data.runs[attempt.run].original === state.chosen;
  const noUpdates = problems.weights ?? (original ? 'The original is not pruned.' : 'Nothing was planned.');
  const tensors = told.tensors ?? [];
  const noWeights = problems.weights ?? (tensors.length ? 'No weight is left to be counted.' : 'No training of this attempt succeeded.');
  const failed = problems.weights ?? 'No training of this attempt succeeded.';
  turn('details', [
    showCurves,
    () => present('updates', 'updates-chart', updates.length > 0, noUpdates) && drawUpdates(told),
    () => present('tensors', 'tensors-chart', tensors.length > 0, failed) && drawTensors(told),
    () => present('histogram', 'histogram-chart', Boolean(told.histogram), noWeights) && drawHistogram(told, attempt),
    () => showPredictions(attempt),
  ]);
}

// A table with words below it: of a file or a form each row, the first column names it.
function showTable(place, told) {
  byId(place).hidden = !told;
  if (!told) return;
  const row = (cells, head) => {
    const made = element('tr');
    cells.forEach((cell, place) => {
      const look = place ? { class: 'number' } : {};
      const scope = head ? { scope: 'col' } : { scope: 'row' };
      made.append(head || !place ? element('th', isolated(cell), { ...look, ...scope }) : element('td', cell, look));
    });
    return made;
  };
  document.querySelector(`#${place} thead`).replaceChildren(row(told.head, true));
  document.querySelector(`#${place} tbody`).replaceChildren(...told.rows.map((cells) => row(cells, false)));
  byId(`${place}-words`).replaceChildren(...told.words.map((each) => element('li', isolated(each))));
}

function showMetrics(told) {
  const metrics = Object.keys(told.curves?.metrics ?? {});
  metrics.sort((a, b) => (b === 'loss') - (a === 'loss'));
  const select = byId('metric');
  const before = select.value;
  select.replaceChildren(...metrics.map((name) => element('option', name, { value: name })));
  select.value = metrics.includes(before) ? before : (metrics[0] ?? '');
  select.parentElement.hidden = metrics.length < 2;
}

function showCurves() {
  const told = data.attempts[state.chosen]?.details;
  if (!told) return;
  const metrics = told.curves?.metrics ?? {};
  const curves = metrics[byId('metric').value];
  const why = told.problems.curves ?? 'Nothing was recorded.';
  if (!present('curves', 'curves-chart', Boolean(curves), why)) return;
  const epochs = told.curves.epoch;
  const looks = { train: ['training', 'front', 'solid'], val: ['validation', 'pick', 'dash'] };
  const traces = [];
  for (const side of ['train', 'val']) {
    if (!curves[side]) continue;
    const [name, paint, dash] = looks[side];
    const range = curves[`${side}_range`];
    if (range) {
      traces.push({ x: epochs, y: range[0], mode: 'lines', line: { width: 0 }, hoverinfo: 'skip', showlegend: false });
      traces.push({
        x: epochs,
        y: range[1],
        mode: 'lines',
        line: { width: 0 },
        fill: 'tonexty',
        fillcolor: faded(colour(paint), 0.2),
        hoverinfo: 'skip',
        showlegend: false,
      });
    }
    traces.push({
      x: epochs,
      y: curves[side],
      name: range ? `${name}, median` : name,
      mode: epochs.length > 1 ? 'lines' : 'markers',
      line: { color: colour(paint), width: 2, dash },
      marker: { color: colour(paint) },
    });
  }
  const values = traces.flatMap((trace) => trace.y).filter((value) => value !== null);
  const log = positive(values) && Math.max(...values) > 20 * Math.min(...values);
  draw(
    'curves-chart',
    traces,
    layout('epoch', plain(byId('metric').value), {
      xaxis: epochs.length <= 10 ? { dtick: 1 } : {},
      yaxis: log ? logAxis(values) : {},
      hovermode: 'x unified',
      showlegend: true,
    }),
  );
}

function drawUpdates(told) {
  const points = [...told.updates];
  points.push([told.steps, points[points.length - 1][1]]);
  const few = told.updates.length <= 60;
  draw(
    'updates-chart',
    [
      {
        x: points.map(([step]) => step),
        y: points.map(([, sparsity]) => 100 * sparsity),
        mode: few ? 'lines+markers' : 'lines',
        line: { shape: 'hv', color: colour('front'), width: 2 },
        marker: { size: 5, color: colour('front') },
        hovertemplate: 'step %{x:,}<br>%{y:.1f} % zeros<extra></extra>',
      },
    ],
    layout('training step', 'sparsity as planned, %', { yaxis: { range: [0, 102] }, xaxis: { rangemode: 'tozero' } }),
  );
}

function drawTensors(told) {
  const tensors = [...told.tensors].reverse();
  const label = ([path]) => plain(shortened(path, 34));
  const bars = (chosen, name, look) => ({
    type: 'bar',
    orientation: 'h',
    width: 0.65,
    name,
    y: tensors.flatMap((tensor, place) => (chosen(tensor) ? [place] : [])),
    x: tensors.filter(chosen).map(([, , weights, zeros]) => (100 * zeros) / Math.max(weights, 1)),
    hoverinfo: 'text',
    hovertext: tensors.filter(chosen).map(([path, shape, weights, zeros, reason]) =>
      [
        `<b>${plain(shortened(path, 70))}</b>`,
        `${shape.join(' x ')}: ${grouped(weights)} weights, ${grouped(zeros)} zero`,
        reason ? `not pruned: ${plain(reason)}` : 'pruned',
      ].join('<br>'),
    ),
    ...look,
  });
  byId('tensors-chart').style.height = `${Math.max(300, 70 + 22 * tensors.length)}px`;
  draw(
    'tensors-chart',
    [
      bars((tensor) => tensor[4] === null, 'pruned', { marker: { color: colour('front') } }),
      bars((tensor) => tensor[4] !== null, 'not pruned', {
        marker: { color: colour('beaten') },
      }),
    ],
    layout(told.more_tensors ? `zeros, % (${grouped(told.more_tensors)} more tensors have no room)` : 'zeros, %', '', {
      barmode: 'overlay',
      xaxis: { range: [0, 102] },
      yaxis: { tickvals: tensors.map((_, place) => place), ticktext: tensors.map(label), showgrid: false },
    }),
  );
}

function drawHistogram(told, attempt) {
  const centres = ({ limit, counts }) =>
    counts.map((_, bin) => -limit + ((bin + 0.5) * 2 * limit) / counts.length);
  const traces = [
    {
      type: 'bar',
      name: 'this attempt',
      x: centres(told.histogram),
      y: told.histogram.counts,
      marker: { color: colour('front') },
      hovertemplate: 'about %{x:.3g}<br>%{y:,} weights<extra></extra>',
    },
  ];
  const before = originalOf(attempt.run);
  const other = before !== attempt ? before?.details?.histogram : null;
  if (other) {
    traces.push({
      name: 'original',
      x: centres(other),
      y: other.counts,
      mode: 'lines',
      line: { shape: 'hvh', color: colour('original'), width: 2 },
      hoverinfo: 'skip',
    });
  }
  draw('histogram-chart', traces, layout('weight', 'weights', { bargap: 0.05, showlegend: traces.length > 1 }));
}
