import { MonosemError } from '../error.js';
import { nearest } from '../nearest.js';

/** ERR_HOOK for a name that is no hook point here, with the names it may have meant. */
export function unknownHook(name: string, names: Iterable<string>, why = ''): MonosemError {
  const near = nearest(name, names, 5);
  const hint = near.length > 0 ? `nearest: ${near.join(', ')}` : `points: ${firstOf(names, 8)}`;
  return new MonosemError('ERR_HOOK', `there is no hook point '${name}'${why}; ${hint}`);
}

function firstOf(names: Iterable<string>, count: number): string {
  const all = [...names];
  const shown = all.slice(0, count).join(', ') || 'none';
  return all.length > count ? `${shown}, … (${all.length} in all)` : shown;
}
