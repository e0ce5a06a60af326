// Names in order: a page of them, and the ones like a mistyped one, without a look at all of them. Pure.

/** So many neighbours of a word are compared with it, on each side and in both orders; all names where there are no more. */
const NEIGHBOURS = 8

/** A shelf is split when it holds more: putting a name in its place moves at most so many. */
const MOST_ON_A_SHELF = 256

/** A set of names. Adding, removing and finding a place take two binary searches. */
export class NameIndex {
  readonly #sorted = new SortedNames()
  /** The same names read from their ends, so that a name with another beginning has its neighbours, too. */
  readonly #backwards = new SortedNames()

  get size(): number {
    return this.#sorted.size
  }

  has(name: string): boolean {
    return this.#sorted.after(name, 1, 'from')[0] === name
  }

  add(name: string): void {
    if (this.#sorted.add(name)) this.#backwards.add(reversed(name))
  }

  delete(name: string): void {
    if (this.#sorted.delete(name)) this.#backwards.delete(reversed(name))
  }

  /** All, in order. */
  all(): readonly string[] {
    return this.after(null, this.size)
  }

  /** At most `limit` names after one, in order; null: from the first. */
  after(name: string | null, limit: number): string[] {
    return this.#sorted.after(name ?? '', limit, name === null ? 'from' : 'after')
  }

  /** The names that may be meant by a word: all where there are few, else its neighbours by beginning and by end. One slip of
   *  the finger leaves one of the two as it was. At most 32. */
  near(word: string): string[] {
    if (this.size <= 4 * NEIGHBOURS) return [...this.all()]
    const forwards = this.#sorted.around(word)
    const backwards = this.#backwards.around(reversed(word))
    return [...new Set([...backwards.map(reversed), ...forwards])]
  }
}

/** Names in order, on shelves that stay short. */
class SortedNames {
  /** None is empty. */
  readonly #shelves: string[][] = []
  size = 0

  /** False: it was there. */
  add(name: string): boolean {
    const at = this.#shelfOf(name)
    const shelf = this.#shelves[at]
    if (shelf === undefined) this.#shelves.push([name])
    else {
      const place = placeOf(shelf, name)
      if (shelf[place] === name) return false
      shelf.splice(place, 0, name)
      if (shelf.length > MOST_ON_A_SHELF) this.#shelves.splice(at + 1, 0, shelf.splice(shelf.length >>> 1))
    }
    this.size++
    return true
  }

  /** False: it was not there. */
  delete(name: string): boolean {
    const at = this.#shelfOf(name)
    const shelf = this.#shelves[at]
    const place = shelf === undefined ? 0 : placeOf(shelf, name)
    if (shelf === undefined || shelf[place] !== name) return false
    shelf.splice(place, 1)
    if (shelf.length === 0) this.#shelves.splice(at, 1)
    this.size--
    return true
  }

  after(name: string, limit: number, which: 'from' | 'after'): string[] {
    const found: string[] = []
    let at = this.#shelfOf(name)
    let place = placeOf(this.#shelves[at] ?? [], name)
    if (which === 'after' && this.#shelves[at]?.[place] === name) place++
    for (; at < this.#shelves.length && found.length < limit; at++, place = 0) {
      const shelf = this.#shelves[at]!
      const end = Math.min(shelf.length, place + limit - found.length)
      for (let index = place; index < end; index++) found.push(shelf[index]!)
    }
    return found
  }

  /** Names before and behind the place of a word. */
  around(word: string): string[] {
    const at = this.#shelfOf(word)
    const shelf = this.#shelves[at] ?? []
    const place = placeOf(shelf, word)
    const before =
      place < NEIGHBOURS ? [...(this.#shelves[at - 1] ?? []), ...shelf.slice(0, place)] : shelf.slice(0, place)
    return [...before.slice(-NEIGHBOURS), ...this.after(word, NEIGHBOURS, 'from')]
  }

  /** The last shelf that does not begin behind the name; the first where all do. */
  #shelfOf(name: string): number {
    let low = 0
    let high = this.#shelves.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#shelves[middle]![0]! <= name) low = middle + 1
      else high = middle
    }
    return Math.max(0, low - 1)
  }
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

function reversed(name: string): string {
  let text = ''
  for (let index = name.length - 1; index >= 0; index--) text += name[index]
  return text
}
