"""What the fake Stripe shows people: the payment page, receipts, the portal, and what banks and support can do."""

from __future__ import annotations

from html import escape

from apps.credits.fakestripe.book import Book, Object
from apps.credits.money import from_minor

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,"><title>SANDBOX · {title}</title><style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/24px system-ui, sans-serif; max-width: 28rem; margin: 0 auto; padding: 0 1rem 4rem }}
.sandbox {{ background: #b45309; color: #fff; padding: .75rem 1rem; margin: 1rem 0 2rem; border-radius: .5rem }}
h1 {{ font-size: 1.5rem; line-height: 2rem }} h2 {{ font-size: 1rem; margin-top: 2rem }}
.price {{ font-size: 2rem; line-height: 2.5rem; font-weight: 600; margin: .5rem 0 }} .soft {{ opacity: .72 }}
.declined {{ border-left: 4px solid #dc2626; padding: .25rem .75rem }}
form {{ display: flex; flex-direction: column; gap: .5rem; margin: .5rem 0 }}
button, input {{ font: inherit; padding: .6rem 1rem; border-radius: .5rem; border: 1px solid #8888; width: 100%;
  box-sizing: border-box }}
button {{ cursor: pointer }} button.main {{ background: #047857; color: #fff; border-color: #047857 }}
li {{ margin: .5rem 0; overflow-wrap: anywhere }}
</style></head><body>
<p class="sandbox"><b>SANDBOX.</b> This is not Stripe, and no money moves.</p>{body}</body></html>"""

BUY = """<form method="post">
<button class="main" name="action" value="pay">Pay</button>
<button name="action" value="decline">Let the card be declined</button>
<button name="action" value="pay_later">Pay later, by bank debit</button>
<button name="action" value="cancel">Cancel and go back</button>
<button name="action" value="expire">Let this page expire</button></form>"""
ARRIVE = """<h2>What the bank can do</h2><form method="post">
<button name="action" value="arrive">Let the money arrive</button>
<button name="action" value="bounce">Let the payment fail</button></form>"""
REFUND = """<h2>What support can do</h2><form method="post">
<label>Amount to refund, in {currency}<input name="amount" inputmode="decimal" value="{left}"></label>
<button name="action" value="refund">Refund</button></form>"""
DISPUTE = """<h2>What the card holder can do</h2><form method="post">
<button name="action" value="dispute">Dispute the payment</button></form>"""
DECIDE = """<h2>What the bank can do</h2><form method="post">
<button name="action" value="won">Decide the dispute for the seller</button>
<button name="action" value="lost">Decide it for the card holder</button></form>"""


def page(title: str, body: str) -> bytes:
    return PAGE.format(title=escape(title), body=body).encode()


def money(amount: int, currency: str) -> str:
    return f"{from_minor(amount, currency):.2f} {escape(currency.upper())}"


def payment(book: Book, session: Object, *, is_declined: bool) -> bytes:
    """The hosted page; after the payment, everything that can happen to it."""
    tax = session["total_details"]["amount_tax"]
    price = money(session["amount_total"], session["currency"])
    taxed = f", of which {money(tax, session['currency'])} tax" if tax else ""
    parts = [
        f"<h1>{escape(session['description'])}</h1>",
        f'<p class="price">{price}</p><p class="soft">for {escape(session["customer_email"] or "you")}{taxed}</p>',
    ]
    if is_declined:
        parts.append('<p class="declined" role="alert">Your card was declined. Nothing was charged.</p>')
    if session["status"] == "open":
        parts.append(BUY)
    elif session["status"] == "expired":
        parts.append("<p>This payment page has expired. Nothing was charged.</p>")
        parts.append(link(session["cancel_url"], "Back to the site"))
    else:
        parts += [afterwards(book, session), link(back_to(session), "Back to the site")]
    return page("payment", "".join(parts))


def afterwards(book: Book, session: Object) -> str:
    charge = book.find(book.find(session["payment_intent"], "pi")["latest_charge"], "ch")
    if charge["status"] == "pending":
        return f"<p>The money is on its way from the bank.</p>{ARRIVE}"
    if not charge["paid"]:
        return "<p>The bank did not pay. Nothing was charged.</p>"
    left = charge["amount"] - charge["amount_refunded"]
    disputes = [row for row in book.tables["disputes"].values() if row["charge"] == charge["id"]]
    said = f"<p>Paid. {money(charge['amount_refunded'], charge['currency'])} refunded.</p>"
    said += "".join(f"<p>Disputed: {money(row['amount'], row['currency'])}, {row['status']}.</p>" for row in disputes)
    if any(row["status"] == "needs_response" for row in disputes):
        return said + DECIDE
    if left:
        said += REFUND.format(
            currency=escape(charge["currency"].upper()), left=f"{from_minor(left, charge['currency']):.2f}"
        )
    return said + (DISPUTE if left and not disputes else "")


def receipt(charge: Object) -> bytes:
    rows = [
        f"<h1>Receipt</h1><p>{escape(charge['description'] or '')}</p>",
        f'<p class="price">{money(charge["amount"], charge["currency"])}</p>',
        f"<p>{money(charge['amount_refunded'], charge['currency'])} refunded.</p>" if charge["amount_refunded"] else "",
        f'<p class="soft">{escape(charge["id"])}</p>',
    ]
    return page("receipt", "".join(rows))


def portal(book: Book, session: Object) -> bytes:
    """The Customer Portal, as far as we send people there: what was paid, and the way back."""
    charges = [row for row in book.tables["charges"].values() if row.get("customer") == session["customer"]]
    rows = "".join(
        f'<li><a href="{escape(row["receipt_url"])}">{escape(row["description"] or "")}</a>, '
        f"{money(row['amount'], row['currency'])}, {escape(row['status'])}</li>"
        for row in charges[::-1]
    )
    body = f"<h1>Payments and invoices</h1><ul>{rows or '<li>None yet.</li>'}</ul>"
    return page("portal", body + link(session["return_url"], "Back to the site"))


def overview(book: Book) -> bytes:
    """Every payment page there is, newest first: where refunds and disputes are made."""
    rows = "".join(
        f'<li><a href="/pay/{row["id"]}">{escape(row["description"])}</a> for {escape(row["customer_email"] or "")}, '
        f"{row['status']}, {row['payment_status']}</li>"
        for row in list(book.tables["sessions"].values())[::-1][:100]
    )
    return page("payments", f"<h1>Payments</h1><ul>{rows or '<li>None yet.</li>'}</ul>")


def refused(message: str) -> bytes:
    return page(
        "refused", f'<h1>That cannot be done</h1><p>{escape(message)}</p><p><a href="">Back to the payment</a></p>'
    )


def link(address: str | None, words: str) -> str:
    return f'<p><a href="{escape(address)}">{words}</a></p>' if address else ""


def back_to(session: Object) -> str:
    address: str = session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"])
    return address
