// Which attempts no other beats, and the smallest one within the tolerance: as in trimgrid itself.

const isShown = (attempt, size = state.size) => attempt.error !== null && sizeOf(attempt, size) !== null;

const membersOf = (run) => {
  const found = [];
  data.attempts.forEach((attempt, index) => attempt.run === run && found.push(index));
  return found;
};

function frontOf(run, size = state.size) {
  const shown = membersOf(run).filter((index) => isShown(data.attempts[index], size));
  const key = (index) => [sizeOf(data.attempts[index], size), data.attempts[index].error, index];
  shown.sort((a, b) => {
    const [first, second] = [key(a), key(b)];
    return first[0] - second[0] || first[1] - second[1] || first[2] - second[2];
  });
  const front = [];
  let least = Infinity;
  for (const index of shown) {
    if (data.attempts[index].error < least) {
      front.push(index);
      least = data.attempts[index].error;
    }
  }
  return front;
}

function originalOf(run) {
  const place = data.runs[run].original;
  return place === null ? null : data.attempts[place];
}

// The greatest error that is good enough; null where it can't be told.
function limitOf(run) {
  if (!Number.isFinite(state.tolerance)) return null;
  if (state.mode === 'limit') return state.tolerance;
  const original = originalOf(run);
  if (original === null || original.error === null) return null;
  return original.error + (state.tolerance / 100) * Math.abs(original.error);
}

// The pick of a run: its index, or why there is none.
function pickOf(run) {
  if (data.sizes.length === 0) return { why: 'No attempt has a size that was measured.' };
  const limit = limitOf(run);
  if (limit === null) {
    return {
      why: Number.isFinite(state.tolerance)
        ? "The original's error is not known: say what the error may be at most."
        : 'Give a tolerance.',
    };
  }
  const attempts = membersOf(run).filter((index) => index !== data.runs[run].original);
  const known = attempts.filter((index) => data.attempts[index].error !== null);
  if (known.length === 0) {
    return {
      why: attempts.length === 0 ? 'No attempt is finished.' : 'No attempt has a finite error.',
    };
  }
  const good = known.filter((index) => data.attempts[index].error <= limit);
  if (good.length === 0) {
    const least = known.reduce((a, b) => (data.attempts[b].error < data.attempts[a].error ? b : a));
    const { name, error_text: error } = data.attempts[least];
    return { why: `No attempt is that good. The least error is ${error}, of ${name}.` };
  }
  const measured = good.filter((index) => sizeOf(data.attempts[index]) !== null);
  if (measured.length === 0) {
    return { why: `Of none that is good enough the ${data.sizes[state.size].label} was measured.` };
  }
  const better = (a, b) => {
    const [one, other] = [data.attempts[a], data.attempts[b]];
    const order = sizeOf(one) - sizeOf(other) || one.error - other.error;
    return order <= 0 ? a : b;
  };
  return { index: measured.reduce(better) };
}

function choose() {
  state.fronts = data.runs.map((_, run) => frontOf(run));
  state.picks = data.runs.map((_, run) => pickOf(run));
}
