"""What names say of the values beside them: the words that the `api` profile goes by, in lower case.

HINTS are those by which a value is known to be of an entity; they are the context words of Presidio's recognizers
(2.2.366), without the ones that say little (`number`, `code`, `us`), with abbreviations and words of other languages.
THINGS and ELSEWISE are those of numbers that identify something other than a person, measure or count.
"""

from functools import lru_cache

from headgate.masking.names import words


def _set(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


CARD = "amex card cards cc creditcard credit diners discover jcb maestro mastercard pan payment visa"
PASSPORT = "passport passports passeport pasaporte passaporto reisepass passnummer paspoort"
LICENSE = "license licence licenses licences driving dl dln lic permit fuehrerschein"
PHONE = (
    "phone phones telephone telephones tel telefon telefono telefone telecom mobile mobiles mob mobil cell cellphone"
    " cellular handset landline hotline fax msisdn contact contacts call caller callee callback dial sms whatsapp"
    " portable celular movil handy handynummer rufnummer telefonnummer phonenumber mobilenumber"
)
TOUCH = _set("contact contacts call caller callee callback dial last")
"""Words that are said of times and identifiers as often as of phones: `last_contact`, `call_id`."""

PLATE = "plate plates vehicle registration vrn"
TAX = "tax taxpayer taxid tin"

HINTS: dict[str, str] = {
    "CREDIT_CARD": CARD,
    "DATE_TIME": "birth birthday birthdate birthdays bday bdate born dob geburtsdatum geburtstag geboren naissance"
    " nacimiento nascita nascimento",
    "IP_ADDRESS": "ip ips ipv4 ipv6 addr address addresses host hosts peer remote src dst source destination gateway"
    " subnet cidr nameserver inet",
    "MEDICAL_LICENSE": "dea medical certificate prescriber license licence",
    "PHONE_NUMBER": PHONE,
    "UK_NHS": "nhs",
    "URL": "url urls uri uris link links website web homepage href site webpage permalink",
    "US_BANK_NUMBER": "account accounts acct acc bankaccount checking savings debit",
    "US_DRIVER_LICENSE": f"{LICENSE} dls cdl cdls",
    "US_ITIN": f"itin individual payer {TAX}",
    "US_PASSPORT": PASSPORT,
    "US_SSN": f"ssn ssns ssid social socialsecurity {TAX}",
    # Those of other countries, and the rarer ones of the United States.
    "ABA_ROUTING_NUMBER": "aba abarouting bankrouting routing rtn",
    "AU_ABN": "abn business",
    "AU_ACN": "acn company",
    "AU_MEDICARE": "medicare",
    "AU_TFN": f"tfn {TAX}",
    "CA_POSTAL_CODE": "postal postcode zip canada",
    "CA_SIN": "sin nas insurance social sociale",
    "DE_BSNR": "bsnr betriebsstättennummer betriebsstaettennummer praxis praxisnummer",
    "DE_FUEHRERSCHEIN": f"führerschein führerscheinnummer fahrerlaubnis {LICENSE}",
    "DE_HANDELSREGISTER": "handelsregister handelsregisternummer amtsgericht registergericht hra hrb",
    "DE_HEALTH_INSURANCE": "krankenversicherungsnummer krankenversichertennummer versichertennummer kvnr egk insurance",
    "DE_ID_CARD": "personalausweis personalausweisnummer ausweis ausweisnummer identity idcard",
    "DE_KFZ": f"kennzeichen kfz nummernschild {PLATE}",
    "DE_LANR": "lanr arztnummer",
    "DE_PASSPORT": PASSPORT + " reisepassnummer",
    "DE_PLZ": "plz postleitzahl postal postcode zip",
    "DE_SOCIAL_SECURITY": "rentenversicherungsnummer sozialversicherungsnummer versicherungsnummer rvnr svnr social",
    "DE_TAX_ID": f"steueridentifikationsnummer steuerid steuer idnr steuernummer {TAX}",
    "DE_TAX_NUMBER": f"steuernummer steuer finanzamt {TAX}",
    "DE_VAT_ID": "vat ust ustid ustidnr umsatzsteuer mehrwertsteuer",
    "ES_NIE": "nie",
    "ES_NIF": "dni nif",
    "ES_PASSPORT": PASSPORT,
    "FI_PERSONAL_IDENTITY_CODE": "hetu henkilötunnus identity personal",
    "IN_AADHAAR": "aadhaar aadhar uidai",
    "IN_GSTIN": "gstin gst",
    "IN_PAN": "pan permanent",
    "IN_PASSPORT": PASSPORT,
    "IN_VEHICLE_REGISTRATION": f"rto {PLATE}",
    "IN_VOTER": "voter epic elector",
    "IT_DRIVER_LICENSE": f"patente licenza {LICENSE}",
    "IT_FISCAL_CODE": "codice fiscale fiscal cf",
    "IT_IDENTITY_CARD": "carta identità identita cie identity",
    "IT_PASSPORT": PASSPORT,
    "IT_VAT_CODE": "piva partita iva vat",
    "KR_BRN": "brn business 사업자등록번호 사업자번호 사업자",
    "KR_DRIVER_LICENSE": f"운전면허 운전면허번호 면허번호 {LICENSE}",
    "KR_FRN": "frn foreigner 외국인등록번호 외국인번호",
    "KR_PASSPORT": f"여권 {PASSPORT}",
    "KR_RRN": "rrn resident",
    "NG_NIN": "nin nimc national",
    "NG_VEHICLE_REGISTRATION": PLATE,
    "PH_PASSPORT": PASSPORT,
    "PH_TIN": f"bir {TAX}",
    "PH_UMID": "umid crn sss gsis philhealth",
    "PL_PESEL": "pesel",
    "SE_ORGANISATIONSNUMMER": "organisationsnummer orgnr organisation företagsnummer",
    "SE_PERSONNUMMER": "personnummer samordningsnummer ssn personal",
    "SG_NRIC_FIN": "nric fin",
    "SG_UEN": "uen acra",
    "TH_TNIN": "tnin thai national",
    "TR_LICENSE_PLATE": f"plaka {PLATE}",
    "TR_NATIONAL_ID": "kimlik tckn tc national",
    "UK_DRIVING_LICENCE": f"dvla {LICENSE}",
    "UK_NINO": "nino insurance ni",
    "UK_PASSPORT": PASSPORT,
    "UK_POSTCODE": "postcode postal zip post",
    "UK_VEHICLE_REGISTRATION": f"reg v5c {PLATE}",
    "US_CLAIM_NUMBER": "claim claims",
    "US_HEALTH_INSURANCE_MEMBER_ID": "member subscriber insurance policy",
    "US_MBI": "medicare mbi beneficiary medicaid hic hicn",
    "US_NPI": "npi provider",
    "US_PRESCRIPTION_NUMBER": "prescription prescriptions pharmacy rx",
    "US_PRIOR_AUTHORIZATION_NUMBER": "authorization preauthorization auth approval",
    "US_PROVIDER_TAX_ID": f"ein {TAX}",
    "US_REFERRAL_NUMBER": "referral referring",
    "ZA_COMPANY_REGISTRATION": "cipc company registration",
    "ZA_DRIVER_LICENSE": f"enatis natis {LICENSE}",
    "ZA_ID_NUMBER": "identity national rsa said idnumber",
    "ZA_INCOME_TAX_NUMBER": f"sars itr {TAX}",
    "ZA_LICENSE_PLATE": f"natis enatis {PLATE}",
    "ZA_MOBILE_NUMBER": PHONE,
    "ZA_PASSPORT": PASSPORT,
    "ZA_TELEPHONE_NUMBER": PHONE,
    "ZA_TRAFFIC_REGISTER_NUMBER": "trn traffic enatis natis",
    "ZA_VAT_NUMBER": "vat sars",
}

THINGS = _set(
    "id ids guid uuid order orders invoice invoices ticket tickets ref refs reference trace tracking shipment"
    " parcel imei serial sn seq sequence stan rrn arn txn transaction transactions trx batch session correlation"
    " mandate booking confirmation product sku item items article gtin ean upc isbn barcode asset build version"
    " revision commit job offset nonce hash checksum crc deployment claim icn mrn nhs npi ein accession pid routing"
    " aba rtn zip postcode epoch timestamp count total size bytes amount balance score entries evicted depth"
)
"""What a number is of that is nobody's, in a name or right before it in a text."""

ELSEWISE = THINGS - {"item", "items", "entries"} | _set(
    "key case issue track payout transfer refund merchant terminal request span run lot requisition appointment"
    " control bic postal badge ts time date at created updated expires expired expiry since until start started end"
    " ended due hits octets limit amounts price duration ms hours lat lng lon latitude longitude coordinates geo"
    " points height fee ratio"
)
"""The same in a name, where `at` and `start` are times; `items` is what many a list is called, whatever is in it."""

SOFTWARE = _set("agreement key medical plan plate product seats software type")
"""Words by which a license is none to drive."""

VERSION_LABELS = _set("version versions ver firmware fw build rev revision")
VERSIONS = VERSION_LABELS | _set("release kernel os oid sdk engine bios schema purl package software ua")
"""In a name; in a text some of them are followed by addresses, too: `kernel: 10.1.2.3`, `release 10.1.2.3`."""

INFIXES = _set("a an in is was of no nr nbr num number the")
"""Words that may stand between a name and its value: `order no. 77`, `card number is 4111`."""

_NUMBERED = ("number", "num", "nbr", "no", "nr")

_HINTS = {entity: frozenset(hints.split()) for entity, hints in HINTS.items()}
_NONE: frozenset[str] = frozenset()


def hints(entity: str) -> frozenset[str]:
    return _HINTS.get(entity, _NONE)


@lru_cache(maxsize=4096)
def key_words(key: str) -> frozenset[str]:
    """The words of a name; `phone2` and `phoneno` say what `phone` says."""
    found = {word.lower().rstrip("0123456789") for word in words(key)}
    stems = {word.removesuffix(end) for word in found for end in _NUMBERED if word.endswith(end)}
    return frozenset(found | stems)
