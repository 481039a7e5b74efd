/* text.js: every sentence of the storefront, in English and Korean, side by side so that none is forgotten. {name} is
 * replaced by a value. The language is the one chosen before, else the browser's, else English. */

const SENTENCES = {
  skip:              ["Skip to the content", "본문으로 건너뛰기"],
  language:          ["Language", "언어"],
  retry:             ["Try again", "다시 시도"],
  back_to_concerts:  ["All concerts", "공연 목록"],
  loading:           ["One moment …", "잠시만 기다려 주세요 …"],
  offline:           ["The connection is interrupted. Your place and your seats are kept; trying again in {seconds} s.",
                      "연결이 끊겼습니다. 순서와 좌석은 유지됩니다. {seconds}초 뒤에 다시 시도합니다."],
  online_again:      ["Connected again.", "다시 연결되었습니다."],
  not_found:         ["There is no such page.", "없는 페이지입니다."],

  concerts:          ["Concerts", "공연"],
  concerts_none:     ["Nothing is on sale at the moment.", "지금 판매 중인 공연이 없습니다."],
  dates_count:       ["{count} dates", "공연일 {count}개"],
  queue_up:          ["Get in line", "줄 서기"],
  go_on:             ["Continue", "계속하기"],

  waiting_room:      ["Waiting room", "대기실"],
  your_rank:         ["Your place in line", "현재 대기 순번"],
  rank_said:         ["You are number {rank} in line.", "현재 {rank}번째로 기다리고 있습니다."],
  estimate:          ["About {time} to go", "예상 대기 시간 약 {time}"],
  estimate_unknown:  ["The wait can't be estimated yet", "아직 대기 시간을 예상할 수 없습니다"],
  live:              ["This page is told at once when it is your turn.", "차례가 되면 이 화면에 바로 알려 드립니다."],
  asks_again:        ["Asks again in {seconds} s.", "{seconds}초 뒤에 다시 확인합니다."],
  keep_open:         ["Keep this page open. Reloading it, or losing the connection for a moment, does not lose your place.",
                      "이 페이지를 열어 두세요. 새로 고치거나 잠시 연결이 끊겨도 순서는 유지됩니다."],
  leave_line:        ["Leave the line", "줄에서 나가기"],
  leave_sure:        ["Leave? You would have to start again at the end of the line.", "나가시겠습니까? 다시 서면 맨 뒤부터 기다려야 합니다."],
  leave_yes:         ["Yes, leave", "네, 나가기"],
  leave_no:          ["Stay", "계속 기다리기"],
  your_turn:         ["It is your turn. You have until {time}.", "차례가 되었습니다. {time}까지 이용할 수 있습니다."],
  sale_gathering:    ["The sale has not opened yet. You keep your place.", "아직 판매 전입니다. 순서는 유지됩니다."],
  sale_paused:       ["Admission is paused. You keep your place.", "입장이 잠시 멈췄습니다. 순서는 유지됩니다."],
  sale_frozen:       ["The sale is stopped for the moment. All times are moved accordingly.", "판매가 잠시 중단되었습니다. 모든 제한 시간은 그만큼 연장됩니다."],
  sale_sold_out:     ["Everything is sold. Thank you for waiting.", "모두 매진되었습니다. 기다려 주셔서 감사합니다."],
  place_expired:     ["Your time ran out. You can get in line again.", "이용 시간이 끝났습니다. 다시 줄을 설 수 있습니다."],
  place_left:        ["You have left the line.", "줄에서 나왔습니다."],
  place_used:        ["This purchase is complete.", "구매가 완료되었습니다."],
  again:             ["Get in line again", "다시 줄 서기"],

  dates:             ["Choose a date", "날짜 선택"],
  dates_none:        ["No date can be reserved at the moment.", "지금 예매할 수 있는 날짜가 없습니다."],
  free_of:           ["{free} of {all} seats free", "전체 {all}석 중 {free}석 남음"],
  price_from:        ["from {price}", "{price}부터"],
  status_on_sale:    ["on sale", "판매 중"],
  status_all_held:   ["all held: seats may come back", "모두 선점됨: 좌석이 다시 나올 수 있습니다"],
  status_not_yet:    ["opens {time}", "{time} 판매 시작"],
  status_closed:     ["sale closed", "판매 종료"],
  status_past:       ["over", "지난 공연"],
  status_sold_out:   ["sold out", "매진"],
  choose_seats:      ["Choose seats", "좌석 선택"],

  seats:             ["Choose your seats", "좌석 선택"],
  stage:             ["Stage", "무대"],
  as_map:            ["Map", "배치도"],
  as_list:           ["List", "목록"],
  map_help:          ["Arrow keys move, Space or Enter chooses.", "화살표 키로 이동하고 스페이스나 엔터로 선택합니다."],
  legend_free:       ["free", "선택 가능"],
  legend_taken:      ["taken", "선택 불가"],
  legend_picked:     ["chosen", "선택함"],
  legend_mine:       ["held for you", "내가 선점"],
  seat_name:         ["{section}, row {row}, seat {number}", "{section} {row}열 {number}번"],
  seat_price:        ["{price} points", "{price}포인트"],
  picked_none:       ["No seat chosen yet.", "아직 선택한 좌석이 없습니다."],
  picked_said:       ["{seat}: chosen. {count} in all.", "{seat}: 선택했습니다. 모두 {count}석."],
  unpicked_said:     ["{seat}: no longer chosen.", "{seat}: 선택을 취소했습니다."],
  taken_said:        ["{seat} has just been taken by somebody else.", "{seat}: 방금 다른 분이 선택했습니다."],
  best:              ["Best available", "추천 좌석"],
  best_count:        ["How many", "매수"],
  hold:              ["Hold {count} seats for me", "{count}석 선점하기"],
  hold_one:          ["Hold this seat for me", "이 좌석 선점하기"],
  held_said:         ["{count} seats are yours until {time}.", "{count}석을 {time}까지 선점했습니다."],
  held_for:          ["Held for you, {time} left", "선점 중, {time} 남음"],
  hold_soon_over:    ["One minute left to pay.", "결제까지 1분 남았습니다."],
  hold_over:         ["The time ran out; the seats are free for others again.", "시간이 지나 좌석이 다시 공개되었습니다."],
  give_back:         ["Give back", "취소"],
  given_back:        ["{seat} was given back.", "{seat}: 취소했습니다."],
  to_pay:            ["Go to payment", "결제하기"],
  show_more:         ["Show the next seats", "다음 좌석 보기"],
  free_count:        ["{count} free", "{count}석 남음"],

  payment:           ["Payment", "결제"],
  balance:           ["Your points", "보유 포인트"],
  total:             ["Total", "합계"],
  missing:           ["{points} points are missing.", "{points}포인트가 부족합니다."],
  charge_amount:     ["Points to charge", "충전할 포인트"],
  charge:            ["Charge", "충전하기"],
  charged_said:      ["Charged. You have {points} points.", "충전했습니다. 보유 포인트 {points}."],
  pay:               ["Pay {points} points", "{points}포인트 결제"],
  paying:            ["Paying …", "결제하는 중 …"],
  paid_said:         ["Paid. Here is your ticket.", "결제가 완료되었습니다. 티켓입니다."],
  nothing_held:      ["You hold no seats.", "선점한 좌석이 없습니다."],
  amount_wrong:      ["Give a whole number of points, 1 or more.", "1 이상의 정수를 입력하세요."],
  unsure:            ["It is not known yet whether the payment went through. Asking again; you will not pay twice.",
                      "결제 여부를 확인하고 있습니다. 두 번 결제되지 않습니다."],

  ticket:            ["Your ticket", "내 티켓"],
  ticket_help:       ["Show this code at the entrance. It can be checked without a network.", "입장할 때 이 코드를 보여 주세요. 네트워크 없이도 확인됩니다."],
  ticket_code:       ["Ticket code for {seats}", "티켓 코드: {seats}"],
  ticket_payment:    ["Payment {number}", "결제 번호 {number}"],
  print:             ["Print", "인쇄"],
  my_tickets:        ["My tickets", "내 티켓"],
  tickets_none:      ["You have no tickets yet.", "아직 티켓이 없습니다."],
  problem_code:      ["code {code}", "코드 {code}"],
};

export const LANGUAGES = { en: "English", ko: "한국어" };
const ORDER = Object.keys(LANGUAGES);
const CHOSEN = "usher.language";

function chosen() {
  const before = localStorage.getItem(CHOSEN);
  if (before in LANGUAGES) return before;
  const wished = navigator.languages.map((tag) => tag.slice(0, 2)).find((tag) => tag in LANGUAGES);
  return wished || "en";
}

let language = chosen();
document.documentElement.lang = language;

export const current = () => language;

export function choose(next) {
  language = next;
  localStorage.setItem(CHOSEN, next);
  document.documentElement.lang = next;
}

export function t(name, values = {}) {
  const sentence = SENTENCES[name][ORDER.indexOf(language)];
  return sentence.replace(/\{(\w+)\}/g, (_, key) => String(values[key]));
}

/* --- numbers and moments ------------------------------------------------------------------------------ */
export const number = (value) => new Intl.NumberFormat(language).format(value);

/* With its zone: a show far away begins at another hour there than on this clock. */
export const moment = (ms) =>
  new Intl.DateTimeFormat(language, { weekday: "long", year: "numeric", month: "long", day: "numeric", hour: "numeric",
                                      minute: "2-digit", timeZoneName: "short" }).format(new Date(ms));

export const clock = (ms) => new Intl.DateTimeFormat(language, { timeStyle: "medium" }).format(new Date(ms));

/* A length of time as people say it: "4:05" for a countdown, "3 min" for a guess. */
export function countdown(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

export function about(ms) {
  const unit = ms < 90_000 ? ["second", 1000] : ms < 5_400_000 ? ["minute", 60_000] : ["hour", 3_600_000];
  const style = { style: "unit", unit: unit[0], unitDisplay: "long" };
  return new Intl.NumberFormat(language, style).format(Math.max(1, Math.round(ms / unit[1])));
}
