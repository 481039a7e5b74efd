/* plan.js: where a seat stands. A date's plan is a list of sections, each of rows of equal length; seat numbers count on
 * through rows and sections from 1, as SPEC.md says of PLAN. */
import { t } from "./text.js";

/* plan: the answer of GET .../plan -> {rows: [{section, row, first, count, price}], seat_count, seat(no)} */
export function lay_out(plan) {
  const rows = [];
  let next = 1;
  for (const section of plan.section) {
    for (let i = 0; i < section.row_count; i++) {
      rows.push({ section: section.name, row: section.first_row + i, first: next, count: section.seats_per_row,
                  price: plan.price[section.grade] });
      next += section.seats_per_row;
    }
  }
  const row_of = (no) => {
    let low = 0;
    let high = rows.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (rows[middle].first <= no) low = middle;
      else high = middle - 1;
    }
    return rows[low];
  };
  return {
    rows,
    seat_count: next - 1,
    seat(no) {
      const row = row_of(no);
      return { section: row.section, row: row.row, number: no - row.first + 1, price: row.price };
    },
  };
}

/* The seat in words: "Stalls, row 3, seat 12". */
export const name_of = (layout, no) => t("seat_name", layout.seat(no));
