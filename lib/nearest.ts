/**
 * Edits (insert, delete, substitute, swap of neighbours) that turn `a` into `b`: the restricted
 * Damerau-Levenshtein distance, three rolling rows of its table.
 */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let best = Math.min(last[j - 1]! + (same ? 0 : 1), last[j]! + 1, row[j - 1]! + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, beforeLast[j - 2]! + 1);
      }
      row.push(best);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length]!;
}

/**
 * The `count` candidates nearest to `name`, nearest first, for "did you mean". Case does not count.
 * What is further than most of its letters is left out, unless one name contains the other: a
 * fragment ("resid_post") is a fair question too, and its completions follow the near spellings.
 * Equally near candidates keep their order.
 */
export function nearest(name: string, candidates: Iterable<string>, count = 5): string[] {
  const wanted = name.toLowerCase();
  const scored: { candidate: string; cost: number }[] = [];
  for (const candidate of new Set(candidates)) {
    const other = candidate.toLowerCase();
    const distance = editDistance(wanted, other);
    const longest = Math.max(wanted.length, other.length);
    const contained = wanted !== '' && (other.includes(wanted) || wanted.includes(other));
    if (distance * 2 <= longest) scored.push({ candidate, cost: distance });
    else if (contained) scored.push({ candidate, cost: longest });
  }
  return scored
    .sort((a, b) => a.cost - b.cost)
    .slice(0, count)
    .map(({ candidate }) => candidate);
}
