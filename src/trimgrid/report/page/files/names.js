// The names beside the points of the trade-off, clear of each other as far as there is room.

const MOST_NAMES = 30;
const LETTER = 6.2; // pixels, about, of a letter; LINE is the height of a name
const LINE = 14;
// Where a name may stand: pixels right of and below its point, the nearer the better.
const OFFSETS = [18, 34, 54, 78].flatMap((far) =>
  [[1, -1], [1, 1], [-1, -1], [-1, 1], [1, 0], [-1, 0]].map(([right, down]) => [far * right, 0.75 * far * down]),
);

// Places from 0 to 1 along an axis.
function along(values, logarithmic) {
  const places = values.map((value) => (logarithmic ? Math.log10(value) : value));
  const [low, high] = [Math.min(...places), Math.max(...places)];
  return places.map((place) => (place - low) / (high - low || 1));
}

const overlap = (a, b) =>
  Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0])) *
  Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));

// The box of a name whose nearest corner or edge is so far from its point.
function boxOf(x, y, [right, down], width) {
  const left = right > 0 ? x + right : x + right - width;
  return [left, y + down - LINE / 2, left + width, y + down + LINE / 2];
}

// The notes, as Plotly draws them, of the attempts that are shown: of all where they are few, else
// of the originals and the fronts.
function nameNotes(shown) {
  if (!byId('names').checked) return [];
  const [logX, logY] = [byId('log-size').checked, byId('log-error').checked];
  const chart = byId('tradeoff-chart');
  const [wide, high] = [chart.clientWidth - 110, chart.clientHeight - 130];
  const xs = along(shown.map((each) => sizeOf(each)), logX).map((place) => place * wide);
  const ys = along(shown.map((each) => each.error), logY).map((place) => (1 - place) * high);
  const points = xs.map((x, place) => [x - 7, ys[place] - 7, x + 7, ys[place] + 7]);
  const special = new Set(state.fronts.flat().map((index) => data.attempts[index]));
  data.runs.forEach((_, run) => special.add(originalOf(run)));
  const named = shown
    .map((_, place) => place)
    .filter((place) => shown.length <= MOST_NAMES || special.has(shown[place]))
    .slice(0, MOST_NAMES);
  // The steps of the fronts, level and then upright.
  const at = new Map(shown.map((attempt, place) => [attempt, [xs[place], ys[place]]]));
  const steps = state.fronts.flatMap((front) =>
    front.slice(1).flatMap((index, place) => {
      const [[fromX, fromY], [x, y]] = [front[place], index].map((each) => at.get(data.attempts[each]));
      return [[fromX, fromY - 3, x, fromY + 3], [x - 3, fromY, x + 3, y]];
    }),
  );
  const taken = [];
  return named.map((place) => {
    const text = shortened(shown[place].name, 26);
    const width = LETTER * Array.from(text).length;
    const cost = (offset) => {
      const box = boxOf(xs[place], ys[place], offset, width);
      const outside = Math.max(0, box[2] - wide - 20) + Math.max(0, -20 - box[0]);
      const hidden = [...taken, ...points, ...steps].reduce((sum, other) => sum + overlap(box, other), 0);
      return hidden + 20 * outside + 0.5 * Math.hypot(...offset);
    };
    const best = OFFSETS.reduce((a, b) => (cost(b) < cost(a) ? b : a));
    taken.push(boxOf(xs[place], ys[place], best, width));
    const [right, down] = best;
    return {
      x: logX ? Math.log10(sizeOf(shown[place])) : sizeOf(shown[place]),
      y: logY ? Math.log10(shown[place].error) : shown[place].error,
      text: plain(text),
      showarrow: true,
      arrowhead: 0,
      arrowwidth: 0.7,
      arrowcolor: colour('beaten'),
      ax: right,
      ay: down,
      xanchor: right > 0 ? 'left' : 'right',
      yanchor: 'middle',
      font: { size: 11, color: colour('ink') },
    };
  });
}
