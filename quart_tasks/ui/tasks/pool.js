// Row elements, used again and again.

/**
 * One row's element. `show` brings it to a task, or up to date with it; it touches the page only
 * where something has changed.
 *
 * @typedef {{element: HTMLElement, show: (id: string, at: number) => void}} Row
 */

/**
 * Has just the rows that are shown in `parent`, in their order.
 *
 * @template {Row} T
 */
export class Pool {
  /**
   * @param {HTMLElement} parent
   * @param {() => T} make
   */
  constructor(parent, make) {
    /** @type {Map<string, T>} */
    this.rows = new Map();
    this._parent = parent;
    this._make = make;
    /** @type {T[]} */
    this._free = [];
  }

  /**
   * @param {string[]} ids
   * @param {number} from the place of the first in the list
   */
  show(ids, from) {
    this._release(new Set(ids));
    let next = this._parent.firstElementChild;
    ids.forEach((id, index) => {
      let row = this.rows.get(id);
      if (!row) {
        row = this._free.pop() ?? this._make();
        this.rows.set(id, row);
      }
      row.show(id, from + index);
      if (row.element === next) next = next.nextElementSibling;
      else this._parent.insertBefore(row.element, next);
    });
  }

  /** @param {Set<string>} ids that are still shown */
  _release(ids) {
    for (const [id, row] of this.rows) {
      if (ids.has(id)) continue;
      this.rows.delete(id);
      row.element.remove();
      this._free.push(row);
    }
  }
}
