// What an attempt predicts on the test data, beside what is true there.

function showPredictions(attempt) {
  const test = data.runs[attempt.run].test;
  const select = byId('view');
  const before = select.value;
  select.replaceChildren(...test.views.map((view, place) => element('option', view.name, { value: place })));
  select.value = test.views[before] ? before : '0';
  byId('view-label').hidden = test.views.length < 2;
  showView();
}

function showView() {
  const attempt = data.attempts[state.chosen];
  if (!attempt?.details) return;
  const test = data.runs[attempt.run].test;
  const place = Number(byId('view').value || 0);
  const view = test.views[place];
  const values = attempt.details.predictions?.[place];
  const why = test.problem || attempt.details.problems.predictions || 'The predictions of this attempt are of another shape.';
  const there = Boolean(view && values);
  byId('prediction-figure').hidden = !there;
  byId('samples').hidden = !(there && values.images && test.picture);
  const missing = there && values.missing ? `Left out: ${grouped(values.missing)} examples without a finite prediction.` : '';
  byId('predictions-note').textContent = there ? `${test.note} ${missing}`.trim() : '';
  if (!present('predictions', 'prediction-chart', there, why)) return;
  if (view.kind === 'classes') {
    drawConfusion(view, values.counts);
    if (values.images && test.picture) showImages(view, values, test);
  } else if (view.kind === 'curve') {
    drawCurve(view, values, attempt);
  } else {
    drawScatter(view, values);
  }
}

const endsOf = (truth) => {
  const known = truth.filter((value) => value !== null);
  return known.length ? [Math.min(...known), Math.max(...known)] : [0, 1];
};

// How much of the data's range a prediction may leave before it is cut off.
function yRange(truth) {
  const [low, high] = endsOf(truth);
  const reach = 0.6 * (high - low) || 1;
  return [low - reach, high + reach];
}

function drawCurve(view, values, attempt) {
  const traces = [
    { name: 'test data', x: view.x, y: view.truth, mode: 'lines', line: { color: faded(colour('run2'), 0.45), width: 6 } },
  ];
  const original = originalOf(attempt.run);
  const first = original !== attempt ? original?.details?.predictions?.[Number(byId('view').value || 0)] : null;
  if (first) {
    traces.push({ name: 'original', x: view.x, y: first, mode: 'lines', line: { color: colour('original'), width: 1.5, dash: 'dot' } });
  }
  traces.push({ name: 'this attempt', x: view.x, y: values, mode: 'lines', line: { color: colour('pick'), width: 2 } });
  const [low, high] = yRange(view.truth);
  const beyond = values.some((value) => value !== null && (value < low || value > high));
  draw('prediction-chart', traces, layout(view.x_label, 'target', { yaxis: beyond ? { range: [low, high] } : {} }));
}

function drawScatter(view, values) {
  const ends = endsOf(view.truth);
  const [low, high] = yRange(view.truth);
  const beyond = values.some((value) => value !== null && (value < low || value > high));
  draw(
    'prediction-chart',
    [
      { name: 'right', x: ends, y: ends, mode: 'lines', line: { color: colour('run2'), width: 2 }, hoverinfo: 'skip' },
      {
        name: 'this attempt',
        x: view.truth,
        y: values,
        mode: 'markers',
        marker: { color: faded(colour('pick'), 0.6), size: 6 },
        hovertemplate: 'target %{x:.4g}<br>predicted %{y:.4g}<extra></extra>',
      },
    ],
    layout('target', 'predicted', { yaxis: beyond ? { range: [low, high] } : {} }),
  );
}

const MOST_CLASSES = 30;

// Of many classes those that are confused most.
function classesShown(view, counts) {
  const wrong = new Array(view.classes).fill(0);
  for (const [truth, predicted, count] of counts) {
    if (truth !== predicted) {
      wrong[truth] += count;
      wrong[predicted] += count;
    }
  }
  const all = wrong.map((_, label) => label);
  if (view.classes <= MOST_CLASSES) return all;
  return all.sort((a, b) => wrong[b] - wrong[a] || a - b).slice(0, MOST_CLASSES).sort((a, b) => a - b);
}

function drawConfusion(view, counts) {
  const shown = classesShown(view, counts);
  const place = new Map(shown.map((label, index) => [label, index]));
  const size = shown.length;
  const share = Array.from({ length: size }, () => new Array(size).fill(0));
  const text = Array.from({ length: size }, () => new Array(size).fill(''));
  const told = Array.from({ length: size }, () => new Array(size).fill('no example'));
  const totals = new Array(view.classes).fill(0);
  for (const [truth, , count] of counts) totals[truth] += count;
  for (const [truth, predicted, count] of counts) {
    if (!place.has(truth) || !place.has(predicted)) continue;
    share[place.get(truth)][place.get(predicted)] = (100 * count) / totals[truth];
    text[place.get(truth)][place.get(predicted)] = String(count);
    told[place.get(truth)][place.get(predicted)] =
      `${grouped(count)} examples, ${((100 * count) / totals[truth]).toFixed(1)} % of the class`;
  }
  const labels = shown.map(String);
  const axis = { type: 'category', showgrid: false, tickmode: size <= 15 ? 'linear' : 'auto', ticks: '' };
  draw(
    'prediction-chart',
    [
      {
        type: 'heatmap',
        x: labels,
        y: labels,
        z: share,
        text,
        texttemplate: size <= 12 ? '%{text}' : '',
        zmin: 0,
        zmax: 100,
        colorscale: [[0, colour('paper')], [0.02, colour('bar')], [1, colour('front')]],
        xgap: 1,
        ygap: 1,
        colorbar: { title: { text: '% of class', side: 'right' }, thickness: 12, outlinewidth: 0 },
        customdata: told,
        hovertemplate: 'class %{y} predicted as %{x}<br>%{customdata}<extra></extra>',
      },
    ],
    layout(view.classes > MOST_CLASSES ? `predicted class (the ${MOST_CLASSES} confused most)` : 'predicted class', 'class', {
      xaxis: axis,
      yaxis: { ...axis, autorange: 'reversed' },
    }),
  );
}

function showImages(view, { images: answers, counts }, test) {
  const { uri, width, height } = test.picture;
  const order = answers.map((_, place) => place);
  const right = (place) => answers[place] === view.images[place];
  order.sort((a, b) => right(a) - right(b) || a - b);
  const scale = 68 / Math.max(width, height);
  const [wide, high] = [width * scale, height * scale];
  const wrongHere = order.filter((place) => !right(place)).length;
  const wrong = counts.reduce((sum, [truth, taken, count]) => sum + (truth === taken ? 0 : count), 0);
  byId('samples-note').textContent =
    `Those on which the attempts differ most: ${wrongHere} of the ${grouped(wrong)} that this one gets wrong, and others`;
  byId('images').replaceChildren(
    ...order.map((place) => {
      const taken = answers[place] < 0 ? 'no finite prediction' : `taken for ${answers[place]}`;
      const words = `${view.images[place]}, ${right(place) ? 'right' : taken}`;
      const image = element('span', '', { class: 'thumb', role: 'img', 'aria-label': `Test example ${test.examples[place]}` });
      image.style.cssText = `width:${wide}px;height:${high}px;background-image:url(${uri});background-size:${wide * answers.length}px ${high}px;background-position:${-wide * place}px 0;image-rendering:${scale > 2 ? 'pixelated' : 'auto'}`;
      const item = element('li', image, right(place) ? {} : { class: 'wrong' });
      item.append(words);
      return item;
    }),
  );
}
