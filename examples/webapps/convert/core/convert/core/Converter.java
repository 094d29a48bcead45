package convert.core;

/** A service of bundle core: amounts of a currency in euros. */
public interface Converter {
    /** Throws IllegalArgumentException for a currency that has no rate. */
    double euros(double amount, String currency) throws Exception;
}
