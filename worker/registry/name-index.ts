// Names in order: a page of them, and the ones like a mistyped one, without a look at all of them. Pure.

/** So many neighbours of a word are compared with it, on each side and in both orders; all names where there are no more. */
const NEIGHBOURS = 16

/** A set of names. Adding, removing and finding a place take a binary search. */
export class NameIndex {
  readonly #sorted: string[] = []
  /** The same names read from their ends, so that a name with another beginning has its neighbours, too. */
  readonly #backwards: string[] = []

  get size(): number {
    return this.#sorted.length
  }

  has(name: string): boolean {
    return this.#sorted[placeOf(this.#sorted, name)] === name
  }

  add(name: string): void {
    insert(this.#sorted, name)
    insert(this.#backwards, reversed(name))
  }

  delete(name: string): void {
    remove(this.#sorted, name)
    remove(this.#backwards, reversed(name))
  }

  /** All, in order. */
  all(): readonly string[] {
    return this.#sorted
  }

  /** At most `limit` names after one, in order; null: from the first. */
  after(name: string | null, limit: number): string[] {
    const place = name === null ? 0 : placeOf(this.#sorted, name)
    const from = name !== null && this.#sorted[place] === name ? place + 1 : place
    return this.#sorted.slice(from, from + limit)
  }

  /** The names that may be meant by a word: all where there are few, else its neighbours by beginning and by end. One slip of
   *  the finger leaves one of the two as it was. At most 64. */
  near(word: string): string[] {
    if (this.#sorted.length <= 4 * NEIGHBOURS) return [...this.#sorted]
    const forwards = around(this.#sorted, word)
    const backwards = around(this.#backwards, reversed(word))
    return [...new Set([...forwards, ...backwards.map(reversed)])]
  }
}

function around(names: readonly string[], word: string): string[] {
  const place = placeOf(names, word)
  return names.slice(Math.max(0, place - NEIGHBOURS), place + NEIGHBOURS)
}

/** Of the first name that is not before `name`. */
function placeOf(names: readonly string[], name: string): number {
  let low = 0
  let high = names.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (names[middle]! < name) low = middle + 1
    else high = middle
  }
  return low
}

function insert(names: string[], name: string): void {
  const place = placeOf(names, name)
  if (names[place] !== name) names.splice(place, 0, name)
}

function remove(names: string[], name: string): void {
  const place = placeOf(names, name)
  if (names[place] === name) names.splice(place, 1)
}

function reversed(name: string): string {
  let text = ''
  for (let index = name.length - 1; index >= 0; index--) text += name[index]
  return text
}
