// Where the cells of a grid lie: pure arithmetic on indexes and pixels.

/**
 * @typedef {object} Divider a line across the grid, before an item
 * @property {number} before index of the item that comes after the line
 * @property {number} height pixels
 * @property {any} content
 */
/** @typedef {{start: number, end: number, top: number, firstRow: number, divider: Divider | null}} Section items between two dividers */
/** @typedef {{row: number, top: number, from: number, to: number, divider: Divider | null}} Row items `from` to before `to`, or a divider */

/** Fixed sizes for one width. @param {number} width of the grid @param {number} size least width of a cell @param {number} gap @param {number} footer pixels below the picture */
export function measure(width, size, gap, footer) {
  const columns = Math.max(1, Math.floor((width + gap) / (size + gap)));
  const cell = Math.max(1, Math.floor((width - gap * (columns - 1)) / columns));
  return { columns, cell, gap, height: cell + footer, pitch: cell + footer + gap };
}

/** @typedef {ReturnType<typeof measure>} Measures */

export class Layout {
  /** @param {number} count of items @param {Measures} measures @param {Divider[]} dividers in the order of the items */
  constructor(count, measures, dividers = []) {
    this.count = count;
    this.measures = measures;
    /** @type {Section[]} */
    this.sections = [];
    let [top, row, start] = [0, 0, 0];
    /** @type {Divider | null} */
    let divider = null;
    for (const next of [...dividers.filter((each) => each.before <= count), null]) {
      const end = next ? next.before : count;
      if (divider) [top, row] = [top + divider.height, row + 1];
      this.sections.push({ start, end, top, firstRow: row, divider });
      const rows = Math.ceil((end - start) / measures.columns);
      [top, row, start, divider] = [top + rows * measures.pitch, row + rows, end, next];
    }
    this.rows = row;
    this.height = Math.max(0, top - (count ? measures.gap : 0));
  }

  /** @param {number} index */
  section(index) {
    return /** @type {Section} */ (this.sections.findLast((each) => each.start <= index && each.end > each.start) ?? this.sections[0]);
  }

  /** Row, column and pixels of an item. @param {number} index */
  place(index) {
    const section = this.section(index);
    const { columns, pitch, cell, gap } = this.measures;
    const [row, column] = [Math.floor((index - section.start) / columns), (index - section.start) % columns];
    return { row: section.firstRow + row, column, top: section.top + row * pitch, left: column * (cell + gap) };
  }

  /** Rows that overlap a strip, dividers included. @param {number} top @param {number} bottom @returns {Row[]} */
  between(top, bottom) {
    const { columns, pitch } = this.measures;
    /** @type {Row[]} */
    const found = [];
    for (const { start, end, top: at, firstRow, divider } of this.sections) {
      if (divider && at > top && at - divider.height < bottom)
        found.push({ row: firstRow - 1, top: at - divider.height, from: start, to: start, divider });
      const rows = Math.ceil((end - start) / columns);
      const first = Math.max(0, Math.floor((top - at) / pitch));
      for (let row = first; row < rows && at + row * pitch < bottom; row++) {
        const from = start + row * columns;
        found.push({ row: firstRow + row, top: at + row * pitch, from, to: Math.min(end, from + columns), divider: null });
      }
    }
    return found;
  }

  /** The row of an item. @param {number} index @returns {Row} */
  rowOf(index) {
    const { row, column, top } = this.place(index);
    const from = index - column;
    return { row, top, from, to: Math.min(this.section(index).end, from + this.measures.columns), divider: null };
  }

  /** The item some rows further down (up, if negative), in the same column where there is one. @param {number} index @param {number} rows */
  vertical(index, rows) {
    let at = index;
    const { column } = this.place(index);
    for (let left = Math.abs(rows); left > 0; left--) {
      const { from, to } = this.rowOf(at);
      const next = rows > 0 ? to : from - 1;
      if (next < 0 || next >= this.count) break;
      const row = this.rowOf(next);
      at = Math.min(row.from + column, row.to - 1);
    }
    return at;
  }

  /** Items that touch a rectangle. @param {{left: number, top: number, right: number, bottom: number}} area @returns {number[]} */
  within({ left, top, right, bottom }) {
    const { cell, gap, height } = this.measures;
    /** @type {number[]} */
    const found = [];
    for (const row of this.between(top, bottom)) {
      if (row.divider || row.top + height <= top) continue;
      for (let index = row.from; index < row.to; index++) {
        const at = (index - row.from) * (cell + gap);
        if (at < right && at + cell > left) found.push(index);
      }
    }
    return found;
  }
}
