import { stripVTControlCharacters } from 'node:util';

/** Columns on a terminal, near enough: one per code point, none for escapes. */
function width(text: string): number {
  return [...stripVTControlCharacters(text)].length;
}

/**
 * Rows as aligned columns, two spaces apart. `align` has a letter per column: l or r. The last
 * column is not padded when it is left-aligned.
 */
export function table(rows: readonly (readonly string[])[], align: string): string {
  const widths = Array.from(align, (_, column) =>
    Math.max(...rows.map((row) => width(row[column] ?? ''))),
  );
  return rows
    .map((row) =>
      row
        .map((cell, column) => {
          const space = ' '.repeat(widths[column]! - width(cell));
          if (align[column] === 'r') return space + cell;
          return column === align.length - 1 ? cell : cell + space;
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** A token as one printable word: "·" for a leading space, "⏎" for a newline. */
export function visible(token: string): string {
  return token.replaceAll(' ', '·').replaceAll('\n', '⏎').replaceAll('\t', '⇥');
}
